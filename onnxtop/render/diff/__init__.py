"""What a comparison of two models found: a format a module; what they share stands in ``facts``."""
