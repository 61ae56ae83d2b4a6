"""The result of an audit, of one model or several: a format a module; what they share stands in ``facts``."""
