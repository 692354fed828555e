"""Compares methods at equal budgets: many runs, and one page about them."""
