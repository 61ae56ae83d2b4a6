"""An ONNX file as layers with weights, as an account of its constants, and as the graph of its neurons."""
