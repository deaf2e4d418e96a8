"""A recipe judged on unseen video: three trainings, each scored on the ten sequences that it left out.

    python benchmarks/cross_validation.py train --root DAVIS --out runs/folds/base feelvos --stills STILLS
    python benchmarks/cross_validation.py score --root DAVIS --out runs/folds/base --method feelvos
    tinct compare runs/folds/base/scores.json runs/folds/other/scores.json

`train` hands what follows the method to `tinct train`, once for each fold; run it again to go on with
what was stopped. `score` hands what follows to `benchmarks/quality.py`, with the weights of each fold,
and writes the scores of all 30 held-out sequences to one file. `--weights STAGE` names the stage whose
weights are judged; `--scores FILE` keeps several presets or options of the same trainings apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinct.errors import OptionError, TinctError
from tinct.evaluation.results import Scores, read_scores, write_scores

FOLDS = ("fold0", "fold1", "fold2")
"""The package's lists: `fold0-fit` has 20 of DAVIS-2016's training sequences, `fold0-dev` the other ten."""

QUALITY = Path(__file__).with_name("quality.py")


def train(root: Path, out: Path, arguments: Sequence[str]) -> None:
    """Train on each fold's 20 sequences, or go on with what an earlier call began.

    Args:
        root: A dataset in the layout of DAVIS-2016.
        out: One folder a fold is made below it.
        arguments: Of `tinct train`, from the method on.
    """
    for fold in FOLDS:
        command = [
            "train",
            *arguments,
            "--data",
            str(root),
            "--split",
            f"{fold}-fit",
            "--out",
            str(out / fold),
        ]
        if (out / fold / "checkpoint.pt").exists():
            command.append("--resume")
        print(f"{fold}: tinct {' '.join(command)}", flush=True)
        subprocess.run([sys.executable, "-m", "tinct", *command], check=True)


def score(root: Path, out: Path, stage: str, scores: str, arguments: Sequence[str]) -> Scores:
    """Score each fold's weights on the ten sequences that they have not seen.

    Args:
        root: A dataset in the layout of DAVIS-2016.
        out: The folder of `train`.
        stage: The stage whose weights are judged.
        scores: The name of the file with all 30 sequences, below `out`.
        arguments: Of `benchmarks/quality.py`, such as the method, the preset and options.

    Raises:
        OptionError: A fold has no such weights.
    """
    parts = []
    for fold in FOLDS:
        weights = out / fold / f"{stage}.safetensors"
        if not weights.exists():
            raise OptionError(
                f"{weights} does not exist: train all folds, or name another stage with --weights."
            )
        part = out / fold / scores
        command = [
            "--root",
            str(root),
            "--split",
            f"{fold}-dev",
            "--weights",
            str(weights),
            "--json",
            str(part),
        ]
        subprocess.run([sys.executable, str(QUALITY), *command, *arguments], check=True)
        parts.append(read_scores(part))
    together = joined(parts)
    write_scores(out / scores, together, per_frame=True)
    return together


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of all folds as one.

    Raises:
        OptionError: A sequence is in two folds.
    """
    sequences = [sequence for part in parts for sequence in part.sequences]
    names = [sequence.name for sequence in sequences]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"{', '.join(twice)} came in two folds; a sequence is held out in one alone.")
    sequences.sort(key=lambda sequence: sequence.name)
    settings = {**parts[0].settings, "split": "+".join(f"{fold}-dev" for fold in FOLDS)}
    run = {"folds": [dict(part.run) for part in parts]}
    return replace(parts[0], sequences=tuple(sequences), settings=settings, run=run)


def main() -> int:
    """Train or score, and explain what went wrong in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("train", "score"))
    parser.add_argument("--root", type=Path, required=True, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--out", type=Path, required=True, help="one folder a fold, and the scores")
    parser.add_argument("--weights", default="video", metavar="STAGE", help="whose weights are judged")
    parser.add_argument(
        "--scores", default="scores.json", metavar="FILE", help="the scores' name below --out"
    )
    options, rest = parser.parse_known_args()
    try:
        if options.what == "train":
            train(options.root, options.out, rest)
        else:
            scores = score(options.root, options.out, options.weights, options.scores, rest)
            print(f"J&F {scores.j_and_f:.4f} over {len(scores.sequences)} held-out sequences")
    except (TinctError, OSError) as error:
        print(f"cross_validation: error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
