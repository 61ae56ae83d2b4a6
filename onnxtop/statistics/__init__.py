"""Statistics of weights: pure NumPy on arrays, one layer at a time."""
