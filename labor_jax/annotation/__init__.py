"""Queries, answers, the journal and what is derived from it."""
