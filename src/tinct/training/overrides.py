"""What a run takes instead of its recipe's batches, learning rates, sizes and optical flow."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, TypeVar

from tinct.data.samplers import Samples
from tinct.errors import OptionError, near_match
from tinct.networks.flow import FlowEstimator
from tinct.training.flow_clips import FlowClips
from tinct.training.stages import Stage

Number = TypeVar("Number", int, float)

EVERY_STAGE = ""
"""The key of a value for all stages."""


@dataclass(frozen=True)
class Overrides:
    """Values in the place of the recipe's; None, or an empty mapping, leaves them as they are.

    Attributes:
        batch: Stage, or `EVERY_STAGE` → samples of a step and process.
        learning_rate: Stage, or `EVERY_STAGE` → the largest rate.
        accumulate: The parts in which each step's batch goes through the network.
        crop: (H, W) of the samples in pixels.
        flow: What estimates the optical flow of clips.
    """

    batch: Mapping[str, int] | None = None
    learning_rate: Mapping[str, float] | None = None
    accumulate: int | None = None
    crop: tuple[int, int] | None = None
    flow: FlowEstimator | None = None

    def applied(self, stages: Sequence[Stage]) -> list[Stage]:
        """The stages with these values.

        Raises:
            OptionError: A stage does not exist, a value is out of its range, or flow is asked for where no
                stage uses any.
        """
        names = [stage.name for stage in stages]
        batches, rates = _of_stages(self.batch, names), _of_stages(self.learning_rate, names)
        changed = [
            replace(
                stage,
                batch=batches.get(stage.name, stage.batch),
                learning_rate=rates.get(stage.name, stage.learning_rate),
                accumulate=stage.accumulate if self.accumulate is None else self.accumulate,
                clips=stage.clips if self.crop is None else resized(stage.clips, self.crop),
            )
            for stage in stages
        ]
        if self.flow is None:
            return changed
        flowing = [replace(stage, clips=with_flow(stage.clips, self.flow)) for stage in changed]
        if all(a.clips is b.clips for a, b in zip(flowing, changed, strict=True)):
            raise OptionError(
                f"--flow {self.flow.name} came, but no stage of this run uses optical flow; leave it out."
            )
        return flowing


def _of_stages(values: Mapping[str, Number] | None, names: Sequence[str]) -> dict[str, Number]:
    values = dict(values or {})
    everywhere = values.pop(EVERY_STAGE, None)
    for name in values:
        if name not in names:
            raise OptionError(f"This run has no stage {name!r}. {near_match(name, names)}")
    return {**({} if everywhere is None else dict.fromkeys(names, everywhere)), **values}


def resized(samples: Samples, size: tuple[int, int]) -> Samples:
    """The same samples at another size, through all that wrap them."""
    changes: dict[str, Any] = {}
    for name, value in vars(samples).items():
        if isinstance(value, Samples):
            changes[name] = resized(value, size)
        elif is_dataclass(value) and not isinstance(value, type) and hasattr(value, "size"):
            changes[name] = replace(value, size=size)
    return _changed(samples, changes)


def with_flow(samples: Samples, estimator: FlowEstimator) -> Samples:
    """The same samples with another's optical flow; the very same where they have none."""
    changes: dict[str, Any] = {
        name: found
        for name, value in vars(samples).items()
        if isinstance(value, Samples) and (found := with_flow(value, estimator)) is not value
    }
    if isinstance(samples, FlowClips):
        changes["estimator"] = estimator
    return _changed(samples, changes)


def _changed(samples: Samples, changes: Mapping[str, Any]) -> Samples:
    if not changes:
        return samples
    changed = copy.copy(samples)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed
