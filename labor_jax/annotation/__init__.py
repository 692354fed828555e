"""Queries, who answers them, the journal of all answers, and what is computed from it."""
