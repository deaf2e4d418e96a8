"""The methods by name, and one builder for all."""

from __future__ import annotations

from tinct.inference.devices import resolve_device
from tinct.zoo.backends import choose_backend
from tinct.zoo.build import (
    LocatedWeights,
    WeightsRecord,
    backend_of,
    build_segmenter,
    check_variant,
    fine_tuning_budget,
    join_weights,
    preset_options,
    read_card,
    resolve_weights,
    weights_record,
)
from tinct.zoo.hashes import file_sha256
from tinct.zoo.methods import (
    CAPABILITIES,
    METHODS,
    PROMPTABLE,
    Capability,
    check_capability,
    method_record,
    methods_where,
    published_scores,
    weights_owner,
)
from tinct.zoo.promptable import PROMPTABLE_NAMES, build_promptable, promptable_beside
from tinct.zoo.records import PRESETS, HubWeights, MethodRecord, Score, TrainingHelp

__all__ = [
    "CAPABILITIES",
    "METHODS",
    "PRESETS",
    "PROMPTABLE",
    "PROMPTABLE_NAMES",
    "Capability",
    "HubWeights",
    "LocatedWeights",
    "MethodRecord",
    "Score",
    "TrainingHelp",
    "WeightsRecord",
    "backend_of",
    "build_promptable",
    "build_segmenter",
    "check_capability",
    "check_variant",
    "choose_backend",
    "file_sha256",
    "fine_tuning_budget",
    "join_weights",
    "method_record",
    "methods_where",
    "preset_options",
    "promptable_beside",
    "published_scores",
    "read_card",
    "resolve_device",
    "resolve_weights",
    "weights_owner",
    "weights_record",
]
