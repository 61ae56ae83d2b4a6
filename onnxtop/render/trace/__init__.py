"""A training run, checkpoint by checkpoint: a format a module; what they share stands in ``facts``."""
