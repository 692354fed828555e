"""Domains, class tables and the input pipeline."""
