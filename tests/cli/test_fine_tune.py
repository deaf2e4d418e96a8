"""`tinct segment --fine-tune`: what is understood, what is said, what arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tinct import zoo
from tinct.cli.segment import _build
from tinct.errors import OptionError
from tinct.online import Budget


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(zoo, "build_segmenter", lambda *_, **overrides: calls.append(overrides))
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: (Path("w"), "ab" * 32))
    return calls


@pytest.mark.parametrize("method", ["osvos", "masktrack", "maskrnn"])
def test_a_budget_arrives_and_is_said(
    method: str, built: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, info = _build(method, None, "default", None, "cpu", "60s")
    assert built[0]["fine_tuning"].budget == Budget(seconds=60.0)
    assert info["fine_tuning"] == "60 s"
    assert capsys.readouterr().out == "fine-tuning: 60 s for each object\n"


def test_auto_says_what_it_chose(built: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    _build("osvos", None, "default", None, "cpu", "auto")
    assert built[0]["fine_tuning"].budget == Budget.parse("auto", torch.device("cpu"))
    assert f"fine-tuning: {built[0]['fine_tuning'].budget}" in capsys.readouterr().out


def test_nothing_is_said_where_nothing_was_asked(
    built: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, info = _build("osvos", None, "default", None, "cpu", None)
    assert built == [{}]
    assert "fine_tuning" not in info
    assert capsys.readouterr().out == ""
    _build("osvos", None, "default", None, "cpu", "none")
    assert capsys.readouterr().out == "fine-tuning: none\n"


def test_what_cannot_be() -> None:
    with pytest.raises(OptionError, match="feelvos does not fine-tune"):
        zoo.with_fine_tuning("feelvos", None, "default", "60s")
    with pytest.raises(OptionError, match="give auto, none, a number of steps"):
        zoo.with_fine_tuning("osvos", None, "default", "soon")
    with pytest.raises(OptionError, match="no preset 'defalt'"):
        zoo.with_fine_tuning("osvos", None, "defalt", "60s")
