"""The table of published results."""

from __future__ import annotations

import math

import pytest

from tinct.evaluation.protocols import PROTOCOLS
from tinct.evaluation.published import (
    PublishedFigure,
    PublishedResult,
    published_results,
    published_splits,
)
from tinct.zoo import METHODS

DATASETS = ("davis-2016", "davis-2017", "segtrack-v2", "youtube-objects")
EVERYTHING = [result for dataset in DATASETS for result in published_results(dataset)]


def _one(dataset: str, split: str, title: str) -> PublishedResult:
    (found,) = [result for result in published_results(dataset, split) if result.title == title]
    return found


def test_known_figures() -> None:
    osvos = _one("davis-2016", "val", "OSVOS")
    assert osvos.measures["J"] == PublishedFigure(0.798, 0.936, 0.149)
    assert osvos.measures["F"] == PublishedFigure(0.806, 0.926, 0.150)
    assert osvos.measures["T"].mean == 0.376
    assert osvos.j_and_f == pytest.approx(0.802)
    assert _one("davis-2017", "test-dev", "DyeNet (with online training)").j_and_f == 0.682


def test_doubt_is_kept_with_the_figure_and_with_its_record() -> None:
    result = _one("davis-2017", "val", "MaskTrack (ResNet-101, by DyeNet's authors)")
    assert result.doubtful
    assert result.measures["J"].doubtful
    assert not result.measures["J&F"].doubtful
    for result in EVERYTHING:
        assert result.doubtful == any(figure.doubtful for figure in result.measures.values()), result


@pytest.mark.parametrize("result", EVERYTHING, ids=lambda r: f"{r.dataset}-{r.split}-{r.title}")
def test_every_record_is_sound(result: PublishedResult) -> None:
    assert result.source
    assert set(result.measures) <= {"J", "F", "T", "J&F"}
    for figure in result.measures.values():
        for value in (figure.mean, figure.recall, figure.decay):
            assert math.isnan(value) or 0 < value < 1
    if {"J", "F", "J&F"} <= set(result.measures):
        half = (result.measures["J"].mean + result.measures["F"].mean) / 2
        # Papers round each figure by itself.
        assert result.measures["J&F"].mean == pytest.approx(half, abs=0.00101)


def test_no_row_stands_twice() -> None:
    keys = [(r.dataset, r.split, r.title, r.source) for r in EVERYTHING]
    assert len(keys) == len(set(keys))


def test_splits_and_datasets() -> None:
    assert published_splits("davis-2017") == ("val", "test-dev", "test-challenge")
    assert {r.split for r in published_results("davis-2016", "val")} == {"val"}
    assert published_results("plain") == ()
    assert set(DATASETS) - {"youtube-objects"} <= set(PROTOCOLS)


def test_the_zoo_says_the_same() -> None:
    for method, record in METHODS.items():
        for name, score in record.paper_scores.items():
            dataset, split, measure = name.split()
            found = [
                result.j_and_f if measure == "J&F" else result.measures[measure].mean
                for result in published_results(dataset.lower(), split)
                if result.method.lower() == method
                and not result.ablation
                and (measure == "J&F" or measure in result.measures)
            ]
            assert score.value in [round(value, 3) for value in found], (method, name)
