"""A scoring that kills its process at one sequence; spawned workers import it by this name."""

from __future__ import annotations

import os
import signal

from tinct.evaluation import score
from tinct.evaluation.results import SequenceScores

_score_sequence = score.score_sequence


def dying_at_b(task: score.Task) -> SequenceScores:
    """The scores of any sequence but "b"."""
    if task.truth.sequence == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return _score_sequence(task)
