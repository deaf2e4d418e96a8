"""An ablation as a table: on the console, in Markdown, and as JSON; fractions from 0 to 1."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinct.evaluation.ablate import Ablation, Change, RowResult
from tinct.evaluation.results import number_or_none
from tinct.evaluation.tables import DASH, fraction, markdown_lines
from tinct.io.atomic import atomic_write

if TYPE_CHECKING:
    from rich.table import Table

SIGNS = {"same": "as the paper", "opposite": "opposite", "none": "no change", "": DASH}
"""A verdict in words."""


def ablation_console(ablation: Ablation) -> Table:
    """The table for the console."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    header = _header(ablation)
    table.add_column(header[0], overflow="fold")
    for name in header[1:]:
        table.add_column(name, justify="right")
    for result in ablation.results:
        table.add_row(*(Text(cell) for cell in _cells(ablation, result)))
    return table


def ablation_markdown(ablation: Ablation) -> str:
    """The table, and below it the sign test, what was not run, and the notes."""
    lines = markdown_lines(_header(ablation), [_cells(ablation, result) for result in ablation.results])
    return "\n".join([*lines, "", *ablation_lines(ablation)]) + "\n"


def ablation_lines(ablation: Ablation) -> list[str]:
    """What stands below the table, one sentence or more per line."""
    data, table = ablation.setup.data, ablation.table
    where = f"{data.dataset} {data.split or 'all'}"
    most = data.max_frames
    where += f", a trial of {most} frames each" if most is not None else ""
    lines = [f"Ours: mean on {where}; the paper's: on {table.dataset} {table.split}. They do not compare."]
    lines.append(_sign_line(ablation))
    lines += [f"{r.row.name}: not run: {r.reason}." for r in ablation.results if r.reason]
    lines += [f"{r.row.name}: {r.row.note}" for r in ablation.results if r.row.note and r.ours]
    lines += [_rounds_line(r) for r in ablation.results if len(r.rounds) > 1]
    if _retrieves(ablation):
        lines.append("Retrieved: the share of all (frame, object) with a starting point, annotated or found.")
    if any(_doubtful(result) for result in ablation.results):
        lines.append("(?): the paper's figure could not be confirmed.")
    return [line.replace("..", ".") if line.endswith("..") else line for line in lines]


def ablation_json(ablation: Ablation) -> dict[str, Any]:
    """Everything that is known of the table; null where a figure is not known."""
    data, config, table = ablation.setup.data, ablation.setup.config, ablation.table
    return {
        "method": table.method,
        "variant": config.variant,
        "preset": config.preset,
        "dataset": data.dataset,
        "split": data.split,
        "fine_tune": config.fine_tune,
        "sequences": None if data.sequences is None else list(data.sequences),
        "max_frames": data.max_frames,
        "measure": ablation.measure,
        "paper": {"method": table.paper, "dataset": table.dataset, "split": table.split},
        "rows": [_row_json(ablation, result) for result in ablation.results],
        "signs": _signs(ablation),
    }


def write_ablation(ablation: Ablation, out: Path) -> tuple[Path, Path]:
    """Write `ablation.json` and `ablation.md`, each whole or not at all.

    Raises:
        OutputError: A file cannot be written.
    """
    paths = out / "ablation.json", out / "ablation.md"
    texts = json.dumps(ablation_json(ablation), indent=1) + "\n", ablation_markdown(ablation)
    for path, text in zip(paths, texts, strict=True):
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    return paths


def _header(ablation: Ablation) -> list[str]:
    ours, paper = ablation.measure, ablation.table.measure
    measures = [f"ours {measure}" for measure in ablation.measures]
    head = ["row", *measures, f"ours Δ{ours}", f"paper {paper}", f"paper Δ{paper}", "against", "direction"]
    return [*head, "retrieved"] if _retrieves(ablation) else head


def _cells(ablation: Ablation, result: RowResult) -> list[str]:
    change = ablation.change(result)
    doubt = " (?)" if _doubtful(result) else ""
    return [
        result.row.title,
        *(fraction(result.ours.get(measure, math.nan)) for measure in ablation.measures),
        DASH if change is None else _signed(change.ours),
        fraction(result.paper_figure(ablation.table.measure)) + doubt,
        DASH if change is None else _paper_change(change),
        DASH if change is None else change.against,
        DASH if change is None else SIGNS[change.verdict],
        *([_retrieved(result)] if _retrieves(ablation) else []),
    ]


def _retrieves(ablation: Ablation) -> bool:
    return any(result.rounds for result in ablation.results)


def _retrieved(result: RowResult) -> str:
    return f"{result.rounds[-1].retrieved:.1%}" if result.rounds else DASH


def _rounds_line(result: RowResult) -> str:
    shares = ", ".join(f"{of.number}: {of.retrieved:.1%} / {of.masks:.1%}" for of in result.rounds)
    return f"{result.row.name}: masks retrieved / known after each round: {shares}."


def _doubtful(result: RowResult) -> bool:
    return result.paper is not None and result.paper.measures["J"].doubtful


def _paper_change(change: Change) -> str:
    if math.isnan(change.paper):
        return {1: "up", -1: "down", 0: DASH}[change.direction]
    return _signed(change.paper)


def _signs(ablation: Ablation) -> dict[str, list[str]]:
    """Verdict → the rows of which it holds; "untested" where nothing can be said."""
    found: dict[str, list[str]] = {"same": [], "opposite": [], "none": [], "untested": []}
    for result in ablation.results:
        change = ablation.change(result)
        if change is not None:
            found[change.verdict or "untested"].append(result.row.name)
    return found


def _sign_line(ablation: Ablation) -> str:
    signs = _signs(ablation)
    tested = [name for verdict in ("same", "opposite", "none") for name in signs[verdict]]
    line = f"Sign test: {len(signs['same'])} of {len(tested)} rows move the way the paper's do"
    for verdict, words in (("opposite", "opposite"), ("none", "no change"), ("untested", "not tested")):
        if signs[verdict]:
            line += f"; {words}: {', '.join(signs[verdict])}"
    return line + "."


def _row_json(ablation: Ablation, result: RowResult) -> dict[str, Any]:
    row, change, paper = result.row, ablation.change(result), result.paper
    content: dict[str, Any] = {
        "name": row.name,
        "title": row.title,
        "method": row.method or ablation.table.method,
        "options": dict(row.options),
        "fine_tuned": row.fine_tuned,
        "ours": {name: number_or_none(value) for name, value in result.ours.items()} or None,
        "not_run": result.reason or None,
        "note": row.note or None,
        "rounds": [asdict(of) for of in result.rounds] or None,
        "paper": None,
        "change": None,
    }
    if paper is not None:
        figures = {name: figure.mean for name, figure in paper.measures.items()}
        content["paper"] = {**figures, "doubtful": paper.doubtful, "source": paper.source}
    if change is not None:
        content["change"] = {
            "against": change.against,
            "ours": number_or_none(change.ours),
            "paper": number_or_none(change.paper),
            "paper_direction": change.direction,
            "verdict": change.verdict or None,
        }
    return content


def _signed(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:+.3f}"
