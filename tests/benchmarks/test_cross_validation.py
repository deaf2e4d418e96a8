"""Three folds trained and scored: which commands run, and what comes of their scores."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from bench_kit import load_benchmark

from tinct.data.lists import list_names
from tinct.errors import OptionError
from tinct.evaluation.results import (
    ObjectScores,
    Scores,
    SequenceScores,
    Statistics,
    read_scores,
    write_scores,
)


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_benchmark("cross_validation")


def scores_of(split: str, values: dict[str, float]) -> Scores:
    sequences = tuple(
        SequenceScores(name, (ObjectScores(1, {m: Statistics(value, 1.0, 0.0) for m in ("J", "F")}),), 3)
        for name, value in values.items()
    )
    return Scores("davis-2016", "a rule", True, "sequences", sequences, {"split": split})


def test_every_sequence_counts_once_and_the_mean_is_over_all(bench: ModuleType) -> None:
    parts = [
        scores_of("fold0-dev", {"c": 0.2}),
        scores_of("fold1-dev", {"a": 0.5}),
        scores_of("fold2-dev", {"b": 0.8, "d": 0.9}),
    ]
    together = bench.joined(parts)
    assert [sequence.name for sequence in together.sequences] == ["a", "b", "c", "d"]
    assert together.j_and_f == pytest.approx((0.2 + 0.5 + 0.8 + 0.9) / 4)
    assert together.settings["split"] == "fold0-dev+fold1-dev+fold2-dev"


def test_a_sequence_of_two_folds_is_refused(bench: ModuleType) -> None:
    parts = [scores_of("fold0-dev", {"a": 0.2}), scores_of("fold1-dev", {"a": 0.5})]
    with pytest.raises(OptionError, match="a came in two folds"):
        bench.joined(parts)


def test_no_fold_is_trained_on_what_it_is_scored_on(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: Sequence[str], *, check: bool) -> None:
        commands.append(list(command))
        words = dict(itertools.pairwise(command))
        if "--json" in words:
            fold = words["--split"].removesuffix("-dev")
            write_scores(Path(words["--json"]), scores_of(words["--split"], {f"of-{fold}": 0.5}))
        else:
            folder = Path(words["--out"])
            folder.mkdir(parents=True)
            (folder / "video.safetensors").touch()
            (folder / "checkpoint.pt").touch()

    monkeypatch.setattr(subprocess, "run", run)
    bench.train(tmp_path / "davis", tmp_path / "out", ["feelvos", "--seed", "3"])
    assert ["--resume" in command for command in commands] == [False] * 3
    together = bench.score(tmp_path / "davis", tmp_path / "out", "video", "fast.json", ["--preset", "fast"])
    assert len(together.sequences) == 3
    assert read_scores(tmp_path / "out" / "fast.json").j_and_f == 0.5
    for trained, scored in zip(commands[:3], commands[3:], strict=True):
        trained_on = trained[trained.index("--split") + 1]
        scored_on = scored[scored.index("--split") + 1]
        assert not set(list_names(tmp_path, trained_on)) & set(list_names(tmp_path, scored_on))
        assert scored[scored.index("--weights") + 1].startswith(trained[trained.index("--out") + 1])
        assert scored[-2:] == ["--preset", "fast"]


def test_a_fold_without_weights_is_named(bench: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"fold0.stills\.safetensors does not exist: train all folds"):
        bench.score(tmp_path, tmp_path, "stills", "scores.json", [])
