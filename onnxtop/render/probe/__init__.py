"""What a probe of a model found: a format a module."""
