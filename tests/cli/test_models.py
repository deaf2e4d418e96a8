"""`tinct models`: a table of 80 columns, all that is known of a method, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, cast

import pytest
from command_kit import tinct_command

from tinct import zoo
from tinct.cli import models

Capture = pytest.CaptureFixture[str]


def test_the_table_has_a_line_for_every_variant(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert tinct_command(monkeypatch, "models") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    of_variants = [(method, v) for method, record in zoo.METHODS.items() for v in record.variants]
    assert [(row[0], row[1].removesuffix("*")) for row in rows[1 : len(of_variants) + 1]] == of_variants
    (feelvos,) = (row for row in rows if row[:2] == ["feelvos", "mobilenetv2*"])
    assert feelvos[2:] == ["4.3", "MB", "0.08", "0.865", "DAVIS-2016", "folds", "J&F,", "default"]
    (paper,) = (row for row in rows if row[:2] == ["feelvos", "xception65"])
    assert paper[2:6] == ["-", "-", "0.817", "DAVIS-2016"]


def test_no_line_is_longer_than_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = models.table_lines()
    for method in zoo.METHODS:
        lines += models.method_lines(method)
    assert max(map(len, lines)) <= 80
    long = dataclasses.replace(zoo.METHODS["osvos"], variants={"mobilenetv2": "", "v" * 99: "d " * 99})
    monkeypatch.setitem(cast(dict[str, Any], zoo.METHODS), "osvos", long)
    assert max(map(len, models.table_lines())) == 80


@pytest.mark.parametrize("method", zoo.METHODS)
def test_a_method_is_shown_with_all_that_is_known(
    method: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert tinct_command(monkeypatch, "models", method) == 0
    said = " ".join(capsys.readouterr().out.split())
    record = zoo.METHODS[method]
    assert record.title in said
    assert f"presets: {', '.join(record.presets)}" in said
    for name, able in zoo.CAPABILITIES.items():
        assert (able.does in said) == getattr(record, name)
    for variant in record.variants:
        card = zoo.weights_record(method, variant)
        if card is not None:
            for text in (card.data, card.recipe, *(score.command for score in card.scores.values())):
                assert " ".join(text.split()) in said
    for name, score in record.paper_scores.items():
        assert f"{score.value:.3f} {name} (paper: {score.command})" in said


def test_a_card_may_say_what_a_frame_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    card = zoo.weights_record("feelvos", "mobilenetv2")
    assert card is not None
    timed = dataclasses.replace(card, seconds_per_frame=0.257)
    monkeypatch.setattr(zoo, "weights_record", lambda *_: timed)
    assert models.table_lines()[1].split()[4] == "0.26"
    assert any(
        "seconds per frame: 0.26 (854×480, one object" in line for line in models.method_lines("feelvos")
    )


def test_json_holds_every_preset_with_its_options(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert tinct_command(monkeypatch, "models", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["method"], row["variant"]) for row in rows] == [
        (method, variant) for method, record in zoo.METHODS.items() for variant in record.variants
    ]
    assert {score["source"] for row in rows for score in row["paper_scores"].values()} == {"paper"}
    for row in rows:
        assert list(row["presets"]) == list(zoo.METHODS[row["method"]].presets_of(row["variant"]))
        for preset, options in row["presets"].items():
            known = zoo.preset_options(row["method"], row["variant"], preset)
            assert set(options) == {field.name for field in dataclasses.fields(known)}
    assert rows[0]["presets"]["fast"]["working_height"] == 272
    assert tinct_command(monkeypatch, "models", "dyenet", "--json") == 0
    assert {row["method"] for row in json.loads(capsys.readouterr().out)} == {"dyenet"}


def test_an_unknown_method_is_answered_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for words in (("models", "feelvoz"), ("models", "feelvoz", "--json")):
        assert tinct_command(monkeypatch, *words) == 1
        assert "Did you mean 'feelvos'" in capsys.readouterr().err
