"""Topological measures of weights: arrays in, numbers out, no ONNX."""
