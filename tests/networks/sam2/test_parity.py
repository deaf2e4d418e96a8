"""Our loop against `transformers`' own session, with the same small random networks, over twenty frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tiny_trackers import FAMILIES, TheirLoop, exact, tiny_tracker

from tinct.inference.promptable import Box, ObjectPrompt, Point
from tinct.networks.sam2.tracker import MemoryTracker, TrackerState

FRAMES, SIZE = 20, (48, 80)

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Given:
    """What one frame is given: masks by object, or points and boxes by object."""

    masks: Mapping[int, np.ndarray] = field(default_factory=dict)
    prompts: Mapping[int, ObjectPrompt] = field(default_factory=dict)


def clip() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two squares that wander over noise, and their label maps."""
    draws = np.random.default_rng(0)
    ground = draws.integers(60, 160, (*SIZE, 3))
    frames, labels = [], []
    for t in range(FRAMES):
        frame, label = ground.copy(), np.zeros(SIZE, np.uint8)
        for object_id, (top, left), colour in (
            (1, (6 + t, 8 + t), (220, 40, 40)),
            (2, (4, 60 - t), (40, 40, 220)),
        ):
            window = slice(top, top + 18), slice(left, left + 16)
            frame[window], label[window] = colour, object_id
        frames.append(frame.astype(np.uint8))
        labels.append(label)
    return frames, labels


VIDEO, LABELS = clip()


def mask(object_id: int, index: int) -> np.ndarray:
    return LABELS[index] == object_id


SCENARIOS: dict[str, dict[int, Given]] = {
    "a mask": {0: Given({1: mask(1, 0)})},
    "points and a box": {
        0: Given(prompts={1: ObjectPrompt((Point(16, 15), Point(40, 40, False)))}),
        3: Given(prompts={2: ObjectPrompt((Point(64.5, 12.5),), Box(56, 4, 73, 22))}),
        6: Given(prompts={3: ObjectPrompt((Point(30.25, 40.0),))}),
    },
    "two objects": {0: Given({1: mask(1, 0), 2: mask(2, 0)})},
    "a late object": {0: Given({1: mask(1, 0)}), 5: Given({2: mask(2, 5)})},
    "corrections": {
        0: Given({1: mask(1, 0), 2: mask(2, 0)}),
        4: Given({1: mask(2, 4)}),
        9: Given({1: mask(1, 9), 2: mask(2, 9)}),
        10: Given({2: mask(2, 10)}),
        11: Given({2: mask(2, 11)}),
    },
}


def ours(tracker: MemoryTracker, given: Mapping[int, Given]) -> list[torch.Tensor]:
    """Logits of every frame, by our loop."""
    state: TrackerState | None = None
    found = []
    for index, frame in enumerate(VIDEO):
        here = given.get(index, Given())
        state, logits = tracker._advanced(state, frame, {**here.masks, **here.prompts})
        found.append(logits)
    return found


def theirs(tracker: MemoryTracker, given: Mapping[int, Given]) -> list[torch.Tensor]:
    """The same by `transformers`' session: for EdgeTAM, whose fails on mixed objects, by one for each."""
    ids = sorted({i for here in given.values() for i in (*here.masks, *here.prompts)})
    found = [torch.zeros(0)] * FRAMES
    for together in [[i] for i in ids] if tracker.FAMILY.perceived else [ids]:
        loop = TheirLoop(tracker, SIZE)
        for index, frame in enumerate(VIDEO):
            here = given.get(index, Given())
            masks = {i: here.masks[i] for i in together if i in here.masks}
            prompts = {i: here.prompts[i] for i in together if i in here.prompts}
            logits = loop.step(frame, masks, prompts, index)
            if len(logits):  # none before the object's first prompt
                found[index] = torch.cat([found[index].reshape(-1, *logits.shape[1:]), logits])
    return found


@cache
def tracker_of(family: str) -> MemoryTracker:
    # Two annotated frames are read at most, so that corrections reach the limit; -1 is SAM 2's own.
    return exact(tiny_tracker(family, max_cond_frame_num={"sam2": -1}.get(family, 2)))


FAST = [("sam2", scenario) for scenario in SCENARIOS] + [(family, "corrections") for family in FAMILIES[1:]]

SLOW = [(family, scenario) for family in FAMILIES[1:] for scenario in SCENARIOS if scenario != "corrections"]


@pytest.mark.parametrize(
    ("family", "scenario"), [*FAST, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)]
)
def test_our_loop_gives_what_their_session_gives(family: str, scenario: str) -> None:
    tracker, given = tracker_of(family), SCENARIOS[scenario]
    for index, (own, other) in enumerate(zip(ours(tracker, given), theirs(tracker, given), strict=True)):
        assert own.shape == other.shape
        assert (own - other).abs().max() < TOLERANCE, f"frame {index}"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_comparison_sees_every_part_of_a_memory(family: str) -> None:
    """Logits hang on features, pointers, and on when each was: else parity would say little."""
    tracker = tracker_of(family)
    state: TrackerState | None = None
    for index, frame in enumerate(VIDEO[:8]):
        state, _ = tracker._advanced(state, frame, {1: mask(1, 0)} if index == 0 else {})
    assert state is not None
    plain = tracker._advanced(state, VIDEO[8], {})[1]
    changes: dict[str, Callable[[Any, str], Any]] = {
        "features": lambda m, _: None if m.features is None else m.features * 0,
        "pointer": lambda m, _: m.pointer * 0,
        "index": lambda m, kind: m.index - (kind == "recent"),
    }
    for kind in ("annotated", "recent"):
        for part, change in changes.items():
            if (kind, part) == ("annotated", "index"):
                continue
            bank = state.memories[0]
            changed = tuple(replace(m, **{part: change(m, kind)}) for m in getattr(bank, kind))
            other = replace(state, memories=(replace(bank, **{kind: changed}),))
            assert (tracker._advanced(other, VIDEO[8], {})[1] - plain).abs().max() > 10 * TOLERANCE, (
                kind,
                part,
            )
