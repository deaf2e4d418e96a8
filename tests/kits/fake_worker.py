"""A worker that computes nothing much: run as a program in the place of `python -m tinct.web.worker`.

Each frame takes `TINCT_TEST_FRAME_S` seconds and shows the nearest painted frame behind it in the run's
direction, its rows moved by one per frame. Some painted ids make it slow, or misbehave at the frame
`TRICKS_AT`. It does without torch, so that it starts at once.
"""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SLOW, RAISES, DIES, HANGS = 55, 66, 77, 88
SLOW_S = 0.15
TRICKS_AT = 3


class StandIn:
    """As `tinct.inference.session.Session`."""

    def __init__(
        self, segmenter: Any, video: Any, prompts: Mapping[int, np.ndarray], *, folder: Path | None = None
    ) -> None:
        self.video, self.prompts = video, dict(prompts)

    def run(self, start: int, stop: int, direction: str) -> Iterator[Any]:
        from tinct.io.masks import ObjectMasks

        step = -1 if direction == "backward" else 1
        for index in range(start, stop, step):
            time.sleep(float(os.environ.get("TINCT_TEST_FRAME_S", "0")))
            known = [i for i in self.prompts if direction == "both" or (index - i) * step >= 0]
            nearest = min(known, key=lambda i: abs(index - i), default=None)
            labels = np.zeros(self.video.size, np.uint8)
            if nearest is not None:
                labels = np.roll(self.prompts[nearest], abs(index - nearest), axis=0)
            if (labels == SLOW).any():
                time.sleep(SLOW_S)
            if index == TRICKS_AT:
                misbehave(labels)
            masks = ObjectMasks.from_label_map(labels)
            yield types.SimpleNamespace(index=index, masks=masks, confidence=1 - index / 1000)


def misbehave(labels: np.ndarray) -> None:
    if (labels == RAISES).any():
        from tinct.errors import NumericalError

        raise NumericalError("The network gave NaN, as it was told to.")
    if (labels == DIES).any():
        os._exit(9)
    if (labels == HANGS).any():
        time.sleep(600)


if __name__ == "__main__":
    session = types.ModuleType("tinct.inference.session")
    session.Session = StandIn  # type: ignore[attr-defined]
    sys.modules["tinct.inference.session"] = session
    from tinct.web import worker

    worker.main(lambda settings: None)
