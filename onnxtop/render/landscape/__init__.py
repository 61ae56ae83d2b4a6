"""The loss barcode of a network: a format a module; what they share stands in ``facts``."""
