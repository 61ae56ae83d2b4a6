r"""Gradients of an ONNX graph as more nodes of the same graph.

Reverse mode: every node on a path from a parameter to the loss gets, from its rule, nodes that turn the
adjoint of its output (d loss / d output, same shape as the output) into the adjoints of its inputs. What
comes out is an ordinary ONNX graph that onnxruntime runs.

* ``graph``: nodes, constants, shapes; tensors with operators, so that a rule reads like its formula
* ``engine``: the walk; names no operation
* ``rules``: one function an operation, named as it, in one table
* ``expansions``: operations written out in others before the walk (LSTM, BatchNormalization by batch)
* ``oracle``: directional derivatives by finite differences, which check all of it

Shapes are static: a graph is differentiated for one batch size, and every shape in it is known.
"""
