from __future__ import annotations

import threading
from typing import Any

from tinct.inference.callbacks import (
    FineTuningProgress,
    callbacks,
    report_explanation,
    report_fine_tuning,
    report_progress,
)

TUNING = FineTuningProgress(1, 0, 1, 1, 0.1, 0.5, 0.5, 2)


def test_callbacks_are_called_within_their_block() -> None:
    stages: list[tuple[str, int, int]] = []
    traces: list[Any] = []
    report_progress("before", 0, 1)
    with callbacks(explanation=traces.append):
        with callbacks(lambda *progress: stages.append(progress)):
            report_progress("look", 1, 3)
            report_explanation({"format": "x"})
        report_progress("after the inner block", 2, 3)
    report_explanation({"format": "y"})
    assert stages == [("look", 1, 3)]
    assert traces == [{"format": "x"}]


def test_fine_tuning_is_a_stage_of_progress_too() -> None:
    stages: list[tuple[str, int, int]] = []
    tunings: list[FineTuningProgress] = []
    with callbacks(lambda *progress: stages.append(progress), tunings.append):
        report_fine_tuning(TUNING)
    assert stages == [("fine-tune", 1, 2)]
    assert tunings == [TUNING]


def test_an_inner_callback_takes_the_place_of_an_outer_one_and_threads_hear_nothing() -> None:
    first, second = [], []
    report_fine_tuning(TUNING)
    with callbacks(fine_tuning=first.append):
        with callbacks(fine_tuning=second.append):
            report_fine_tuning(TUNING)
        thread = threading.Thread(target=report_fine_tuning, args=(TUNING,))
        thread.start()
        thread.join()
    report_fine_tuning(TUNING)
    assert (first, second) == ([], [TUNING])
