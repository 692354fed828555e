"""Ways to ask, at an equal price: many runs, and one page about them."""
