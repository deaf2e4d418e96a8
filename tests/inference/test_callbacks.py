from __future__ import annotations

from typing import Any

from tinct.inference.callbacks import loop_told_to, tell_explanation, tell_of_loop


def test_listeners_hear_what_is_told_within_their_block() -> None:
    stages: list[tuple[str, int, int]] = []
    accounts: list[Any] = []
    tell_of_loop("before", 0, 1)
    with loop_told_to(explanation=accounts.append):
        with loop_told_to(lambda *news: stages.append(news)):
            tell_of_loop("look", 1, 3)
            tell_explanation({"format": "x"})
        tell_of_loop("after the inner block", 2, 3)
    tell_explanation({"format": "y"})
    assert stages == [("look", 1, 3)]
    assert accounts == [{"format": "x"}]
