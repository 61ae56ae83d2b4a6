"""Functions of a model's own, replaced by their bodies; onnx's inliner does it, and converts other opsets.

Two things are added. A call that leaves an attribute out gets the default that the function declares. A
function that cannot be inlined stays an operation that nobody knows, and the constants of its body become
inputs of its calls, so that they are counted like any other constant.
"""
