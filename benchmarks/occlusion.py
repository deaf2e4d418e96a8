r"""Scores of methods on occlusion clips, before an object disappears and after it returns: a row each.

    tinct datasets make-occlusion OCC --stills STILLS --data DAVIS
    python benchmarks/occlusion.py --root OCC --out runs/occlusion --threads 2 \
        feelvos masktrack,fine_tune=none "Re-MP alone=dyenet,re_id=False"

A row is METHOD[,KEY=VALUE...], or NAME=METHOD[,KEY=VALUE...] to give it another name. KEY is variant,
preset, weights, fine_tune, or an option of the method. Masks and scores are stored below OUT, so that
the same command resumes an interrupted run. OUT/occlusion.json and OUT/occlusion.md hold the table.
"""

from __future__ import annotations

import argparse
import ast
import json
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tinct.data.occlusion.files import read_visibility
from tinct.data.visibility import GONE_FRAMES
from tinct.errors import OptionError, TinctError
from tinct.evaluation.dataset_split import DatasetSplit
from tinct.evaluation.evaluate import evaluate
from tinct.evaluation.occlusion import PHASES, PhaseScores, phase_scores
from tinct.evaluation.results import number_or_none
from tinct.evaluation.tables import markdown_lines, percent
from tinct.io.atomic import atomic_write
from tinct.runs.segmenter_config import SegmenterConfig

CHOICES = ("variant", "preset", "weights", "fine_tune")
"""Keys of a row that choose the segmenter; all others are fields of its options."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: The text of its first cell.
        method: The method's name in the zoo.
        choices: Values of `CHOICES`.
        options: Fields of the method's options.
    """

    name: str
    method: str
    choices: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """The folder's name: the row's name without characters that files cannot have."""
        return re.sub(r"[^\w.=,-]+", "-", self.name)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="+", metavar="ROW", help="[NAME=]METHOD[,KEY=VALUE...]")
    parser.add_argument("--root", type=Path, required=True, help="what `make-occlusion` wrote")
    parser.add_argument("--split", default="occlusion", help="its list (default: occlusion)")
    parser.add_argument("--sequences", help="only these clips of the split, separated by commas")
    parser.add_argument("--out", type=Path, required=True, help="masks, scores and the table")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the clips")
    return parser.parse_args(words)


def parse_row(text: str) -> Row:
    """Parse a row of the command line.

    Raises:
        OptionError: It names no method, or a pair lacks its key or value.
    """
    first, *pairs = text.split(",")
    name, equals, method = first.partition("=")
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise OptionError(f"{pair!r} came in the row {text!r}; give KEY=VALUE, such as re_id=False.")
        values[key] = _value(value)
    method = method if equals else name
    if not method or not name:
        raise OptionError(f"The row {text!r} names no method; give one, such as feelvos.")
    choices = {key: str(values[key]) for key in CHOICES if key in values}
    options = {key: value for key, value in values.items() if key not in CHOICES}
    # Files by their last name: the row's name is printed and written.
    return Row(name if equals else re.sub(r"[^=,]*/", "", text), method, choices, options)


def _value(text: str) -> Any:
    """The text as a Python literal if it is one, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def measure(row: Row, options: argparse.Namespace) -> tuple[dict[str, PhaseScores], Mapping[str, Any]]:
    """The scores of a row's phases, and the record of the run that made the masks."""
    choices = dict(row.choices)
    weights = choices.pop("weights", None)
    evaluation = evaluate(
        DatasetSplit(
            "davis-2017",
            options.root,
            options.split,
            sequences=options.sequences.split(",") if options.sequences else None,
        ),
        SegmenterConfig(
            row.method,
            weights=None if weights is None else Path(weights),
            device=options.device,
            options=row.options,
            **choices,
        ),
        options.out / row.folder,
        threads=options.threads,
        workers=options.workers,
    )
    if evaluation.scores is None:
        raise OptionError(
            f"The clips of {options.root} have no truth beyond the first frame; make them again."
        )
    return phase_scores(evaluation.scores, read_visibility(options.root, options.split)), evaluation.run


def phases_json(phases: Mapping[str, PhaseScores]) -> dict[str, Any]:
    """The scores of the phases as JSON values; null where a phase has no frames."""
    return {
        phase: {
            "G": number_or_none(of.g),
            **{name: number_or_none(s.mean) for name, s in of.statistics.items()},
            **{f"{name}_recall": number_or_none(s.recall) for name, s in of.statistics.items()},
            "objects": of.objects,
            "frames": of.frames,
        }
        for phase, of in phases.items()
    }


def phases_markdown(rows: Sequence[tuple[str, Mapping[str, PhaseScores]]]) -> str:
    """A Markdown table with a row per method, values × 100, and the meaning of its columns.

    Args:
        rows: Names and scores of methods, all on the same clips.
    """
    header = [
        "", "G all", "G before", "G after", "J after", "F after", "found again", "G after hidden",
        "G after outside",
    ]  # fmt: skip
    table = []
    for name, phases in rows:
        after = phases["after"]
        j, f = after.statistics["J"], after.statistics["F"]
        figures = [
            phases["all"].g, phases["before"].g, after.g, j.mean, f.mean, j.recall,
            phases["after hidden"].g, phases["after outside"].g,
        ]  # fmt: skip
        table.append([name, *map(percent, figures)])
    counts = [f"{phase}: {of.objects} objects, {of.frames} frames" for phase, of in rows[0][1].items()]
    meanings = "; ".join(f"{phase}: {words}" for phase, words in PHASES.items())
    return "\n".join(
        [
            *markdown_lines(header, table),
            "",
            f"Values × 100. {meanings}. Gone is {GONE_FRAMES} frames or more. Found again: the share of the "
            "frames after a reappearance with J above 0.5. " + "; ".join(counts) + ".",
        ]
    ) + "\n"  # fmt: skip


def command() -> str:
    """The command line without private paths: files and folders by their last name."""
    words = (re.sub(r"[^=]*/(?=.)", "", word.rstrip("/")) for word in sys.argv[1:])
    return shlex.join(["python", "benchmarks/occlusion.py", *words])


def run(options: argparse.Namespace) -> None:
    """Measure the rows one by one, and write the table after each."""
    rows = [parse_row(text) for text in options.rows]
    measured: list[tuple[str, dict[str, PhaseScores]]] = []
    content: dict[str, Any] = {
        "command": command(),
        "split": options.split,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rows": {},
    }
    for row in rows:
        phases, made_by = measure(row, options)
        measured.append((row.name, phases))
        content["rows"][row.name] = {"phases": phases_json(phases), "run": dict(made_by)}
        after = phases["after"]
        print(
            f"{row.name}: G after a reappearance {after.g:.3f}, before {phases['before'].g:.3f}", flush=True
        )
        texts = {
            "occlusion.json": json.dumps(content, indent=1) + "\n",
            "occlusion.md": f"{phases_markdown(measured)}\n`{command()}`\n",
        }
        for file, text in texts.items():
            with atomic_write(options.out / file) as part:
                part.write_text(text, encoding="utf-8")
    print(phases_markdown(measured))


def main() -> int:
    """Run, and explain an error in one line."""
    try:
        run(arguments())
    except (TinctError, OSError) as error:
        print(f"occlusion: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
