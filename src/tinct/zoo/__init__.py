"""The methods by name, and one builder for all."""

from __future__ import annotations

from tinct.inference.devices import resolve_device
from tinct.zoo.build import (
    PRESETS,
    WeightsRecord,
    build_segmenter,
    check_explains,
    check_uses_flow,
    check_uses_proposals,
    check_variant,
    file_sha256,
    fine_tuning_budget,
    method_record,
    preset_options,
    read_card,
    resolve_weights,
    weights_record,
)
from tinct.zoo.methods import METHODS, MethodRecord, Score

__all__ = [
    "METHODS",
    "PRESETS",
    "MethodRecord",
    "Score",
    "WeightsRecord",
    "build_segmenter",
    "check_explains",
    "check_uses_flow",
    "check_uses_proposals",
    "check_variant",
    "file_sha256",
    "fine_tuning_budget",
    "method_record",
    "preset_options",
    "read_card",
    "resolve_device",
    "resolve_weights",
    "weights_record",
]
