"""The loss barcode of a network: a format a module."""
