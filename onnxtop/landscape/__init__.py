"""The story of a loss barcode: minima of a model, paths between them, bars."""
