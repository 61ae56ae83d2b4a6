"""How hard the way between minima is: minima of a loss, paths between them, bars."""
