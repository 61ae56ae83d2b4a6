"""What is in a model: the audit of one file, and what it measures of layers and of the network."""
