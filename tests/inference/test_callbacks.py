from __future__ import annotations

from typing import Any

from tinct.inference.callbacks import loop_callbacks, report_explanation, report_loop_progress


def test_listeners_hear_what_is_told_within_their_block() -> None:
    stages: list[tuple[str, int, int]] = []
    accounts: list[Any] = []
    report_loop_progress("before", 0, 1)
    with loop_callbacks(explanation=accounts.append):
        with loop_callbacks(lambda *news: stages.append(news)):
            report_loop_progress("look", 1, 3)
            report_explanation({"format": "x"})
        report_loop_progress("after the inner block", 2, 3)
    report_explanation({"format": "y"})
    assert stages == [("look", 1, 3)]
    assert accounts == [{"format": "x"}]
