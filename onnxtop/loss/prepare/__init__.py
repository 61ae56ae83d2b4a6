"""The passes over a model before it is run: each takes a `Prepared` model and gives one, one pass a file.

In this order:

* ``sound``: refuses nodes that are no call of their operation
* ``unpack``: the nodes and constants of the file, in its own opset
* ``branches``: an If whose condition is settled becomes the branch that runs
* ``upgrade``: the opset of this package, by onnx's version converter
* ``evaluation``: refuses what behaves as in training
* ``parameters``: what training moved is fed, and no constant any more
* ``sizes``: for a number of samples every shape is a number, and what depends on shapes alone a constant

Then the model grows by its loss (`onnxtop.loss.heads`) and its gradient (`onnxtop.gradient`).
"""
