"""How far a batch is: a line for people, and JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any

clock = time.monotonic

EVERY_S = 30.0
"""Pause between lines where standard error is no terminal."""


@dataclass
class Progress:
    """What a batch has done so far.

    Attributes:
        total: Videos in all.
        done: Videos that ended, whatever became of them.
        failed: Of these, those without a result.
        skipped: Of these, those that an earlier call had completed.
        frames: Segmented by this call.
        seconds: Since it began.
    """

    total: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    frames: int = 0
    seconds: float = 0.0

    def add(self, row: Mapping[str, Any]) -> None:
        """One more video ended."""
        self.done += 1
        if row["status"] != "complete":
            self.failed += 1
        elif row["skipped"]:
            self.skipped += 1
        else:
            self.frames += row["frames"]

    @property
    def rates(self) -> dict[str, float | None]:
        """Videos and frames per second, and the seconds that are left, as far as that is known."""
        computed = self.done - self.skipped
        videos = computed / self.seconds if self.seconds else 0.0
        left = (self.total - self.done) / videos if videos else None
        return {
            "videos_per_s": round(videos, 4),
            "frames_per_s": round(self.frames / self.seconds, 3) if self.seconds else 0.0,
            "seconds_left": None if left is None else round(left, 1),
        }

    def __str__(self) -> str:
        rates = self.rates
        left = "" if rates["seconds_left"] is None else f", {_duration(rates['seconds_left'])} left"
        return (
            f"{self.done} of {self.total} videos, {rates['videos_per_s']:.2f} videos/s, "
            f"{rates['frames_per_s']:.1f} frames/s{left}, {self.failed} failed"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    )


class ProgressLine:
    """Shows progress on standard error, and writes it as JSON lines.

    Args:
        json_lines: Where those go, if anywhere.
    """

    def __init__(self, json_lines: IO[str] | None = None) -> None:
        self._json, self._terminal = json_lines, sys.stderr.isatty()
        self._shown_s, self._width = clock(), 0

    def __call__(self, progress: Progress, row: Mapping[str, Any]) -> None:
        """A video ended."""
        if self._json is not None:
            entry = {"name": row["name"], "status": row["status"], "error": row["error"]}
            print(json.dumps(entry | asdict(progress) | progress.rates), file=self._json, flush=True)
        if row["status"] != "complete":
            self._print(f"tinct: {row['name']}: {row['error']}", end="\n")
        if self._terminal:
            self._print(f"tinct: {progress}", end="")
        elif clock() - self._shown_s >= EVERY_S:
            self._shown_s = clock()
            self._print(f"tinct: {progress}", end="\n")

    def close(self) -> None:
        """Leave the line."""
        if self._terminal and self._width:
            print(file=sys.stderr)

    def _print(self, text: str, end: str) -> None:
        start = "\r" if self._terminal else ""
        print(f"{start}{text:<{self._width}}", end=end, file=sys.stderr, flush=True)
        self._width = len(text) if end == "" else 0


OnVideo = Callable[[Progress, Mapping[str, Any]], None]
