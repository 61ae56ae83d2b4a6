"""The graph of a model's layers: a format a module; the graph of its neurons: ``neurons`` writes arrays.

Names of a model are data in all of them.
"""
