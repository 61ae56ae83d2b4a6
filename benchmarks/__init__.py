"""What onnxtop costs, beside plain anchors and peers: ``python -m benchmarks``; see README.md."""
