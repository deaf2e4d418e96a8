"""Reports of results: one HTML file, and plots as PNG."""

from __future__ import annotations

from tinct.evaluation.report.page import write_report
from tinct.evaluation.report.plots import write_plots

__all__ = ["write_plots", "write_report"]
