"""How many masks a loop over whole videos found by looking for the objects, round by round.

The ECCV paper of DyeNet counts these: on DAVIS-2017 val 25 % of all masks after one round, 33 % after three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinct.errors import OutputError
from tinct.io.json_files import parse_json, reading
from tinct.io.regular_files import read_regular
from tinct.runs.traces import TRACE_FILE


@dataclass(frozen=True)
class RoundShares:
    """What was known after a round; shares of all (frame, object), from 0 to 1.

    Attributes:
        number: Of the round; 0 for the annotated masks, propagated.
        retrieved: That a starting point gave, annotated or found.
        masks: That have any mask.
    """

    number: int
    retrieved: float
    masks: float


def read_traces(out: Path, sequences: Iterable[str]) -> list[dict[str, Any]]:
    """The traces that an evaluation wrote beside its masks; none where one is not there.

    Raises:
        OutputError: One cannot be read.
    """
    traces = []
    for path in (out / name / TRACE_FILE for name in sequences):
        if not path.exists():
            return []
        with reading(path, "a trace", "Remove its folder and run again.", OutputError):
            traces.append(_checked(parse_json(read_regular(path))))
    return traces


def _checked(trace: dict[str, Any]) -> dict[str, Any]:
    """The trace, if it holds what `shares_of_rounds` reads; otherwise an error that `reading` explains."""
    list(trace["frames"]), list(trace["object_ids"])
    shares = [float(each[key]) for each in trace["rounds"] for key in ("retrieved_share", "masks_share")]
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ValueError("the shares of its rounds are not from 0 to 1")
    return trace


def shares_of_rounds(traces: Iterable[Mapping[str, Any]]) -> tuple[RoundShares, ...]:
    """The shares over all videos together; one whose loop ended sooner stays as it was in its last round."""
    found = [(len(trace["frames"]) * len(trace["object_ids"]), trace["rounds"]) for trace in traces]
    pairs = max(1, sum(size for size, _ in found))
    last = max((len(rounds) for _, rounds in found), default=0)

    def share(number: int, key: str) -> float:
        return sum(size * float(rounds[min(number, len(rounds) - 1)][key]) for size, rounds in found) / pairs

    return tuple(
        RoundShares(number, share(number, "retrieved_share"), share(number, "masks_share"))
        for number in range(last)
    )
