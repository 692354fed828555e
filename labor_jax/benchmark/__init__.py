"""How fast the parts of a run are, and what limits them."""
