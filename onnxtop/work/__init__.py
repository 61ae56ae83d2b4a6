"""How work is done: what was done before is remembered."""
