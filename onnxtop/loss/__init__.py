"""The loss of an ONNX model as a function of its weights, and its gradient, on plain onnxruntime."""
