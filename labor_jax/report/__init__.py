"""The run's report: one self-contained page made from the files in its DIR."""

from labor_jax.report.page import write_report

__all__ = ["write_report"]
