"""Scores of masks against the truth: region similarity J, contour accuracy F, and their summaries.

numpy and OpenCV only: a score needs no network.
"""

from __future__ import annotations

from tinct.metrics.boundary import contour_accuracy
from tinct.metrics.region import region_similarity
from tinct.metrics.summary import decay, mean, recall

__all__ = ["contour_accuracy", "decay", "mean", "recall", "region_similarity"]
