"""Scores of masks against the truth: region similarity J, contour accuracy F, temporal stability T.

numpy only: scoring needs no network.
"""

from __future__ import annotations

from tinct.metrics.boundary import DEFAULT_BOUND_TH, contour_accuracy
from tinct.metrics.region import region_similarity
from tinct.metrics.summary import decay, mean, recall
from tinct.metrics.temporal import ContourDescription, describe_contour, instability, temporal_stability

__all__ = [
    "DEFAULT_BOUND_TH",
    "ContourDescription",
    "contour_accuracy",
    "decay",
    "describe_contour",
    "instability",
    "mean",
    "recall",
    "region_similarity",
    "temporal_stability",
]
