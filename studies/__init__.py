"""The papers' claims, run from ONNX files; ``python -m studies`` and README.md in this folder tell how."""
