"""The report: one HTML file that needs no network, no fonts and no script.

Texts are escaped, pictures are embedded, and a content security policy forbids requests. The output is
deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinct._version import __version__
from tinct.data.attributes import ATTRIBUTES, find_attributes, read_attributes
from tinct.errors import TinctError
from tinct.evaluation.protocols import Protocol, protocol_of
from tinct.evaluation.report.by_attribute import AttributeScore, attribute_scores
from tinct.evaluation.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Curve, curve
from tinct.evaluation.report.pictures import ERROR_COLOURS
from tinct.evaluation.report.result_table import result_table, sequence_rows
from tinct.evaluation.report.templates import render
from tinct.evaluation.report.timeline import Timeline, timelines
from tinct.evaluation.report.worst_frames import (
    PicturedFrame,
    Sources,
    WorstFrame,
    with_pictures,
    worst_frames,
)
from tinct.evaluation.results import LEFT_OUT, Scores
from tinct.evaluation.tables import columns_for, left_out_lines, method_of, percent
from tinct.io.atomic import atomic_write

_FOLDER = Path(__file__).parent
_PER_FRAME_HINT = "The scores hold no per-frame values. Score again with --per-frame to see them."

_CONSTANTS: Mapping[str, Any] = {
    "version": __version__,
    "attribute_names": ATTRIBUTES,
    "error_colours": {kind: f"rgb{colour}" for kind, colour in ERROR_COLOURS.items()},
    "plot": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
}


@dataclass(frozen=True)
class Tile:
    """One figure in large type: its name, the figure, and a short explanation."""

    name: str
    figure: str
    about: str


@dataclass(frozen=True)
class Section:
    """The content of a section, or why there is none."""

    content: Sequence[Any]
    absence: str = ""
    remark: str = ""


def write_report(
    scores: Scores,
    path: Path,
    *,
    title: str | None = None,
    predictions: Path | None = None,
    truth: Path | None = None,
    frames: Path | None = None,
    attributes: Path | None = None,
    split: str | None = None,
    worst: int = 12,
) -> None:
    """Write the report of a result as one HTML file, atomically.

    A section whose input is missing or broken explains that in a sentence instead of failing.

    Args:
        scores: The result; curves and worst frames need per-frame values.
        path: The file, such as `report.html`.
        title: The heading; by default the method and the dataset.
        predictions: The scored masks, as for `find_predictions`.
        truth: The root of the dataset or its annotations, as for `find_truth`.
        frames: The frames, unless they are beside the truth in the layout of the dataset.
        attributes: The benchmark's `db_info.yml`, unless it is beside the truth.
        split: The scored split, such as "val", unless the scores name it.
        worst: Number of worst frames to show.

    Raises:
        OutputError: The file cannot be written.
        OptionError: The protocol of the scores is unknown.
    """
    protocol = protocol_of(scores.protocol)
    split = split or scores.settings.get("split")
    per_frame = timelines(scores)
    measure = "J" if "J" in scores.measures else "F"
    sources = None
    if predictions is not None and truth is not None:
        sources = Sources(predictions, truth, frames, split)
    letters, attribute_part = _attributes(scores, attributes, truth, measure)
    context = {
        "title": title or _default_title(scores, split),
        "scores": scores,
        "object_count": sum(len(sequence.objects) for sequence in scores.sequences),
        "split": split,
        "measure": measure,
        "tiles": _tiles(scores),
        "notices": _notices(scores),
        "settings": _settings_rows(scores.settings, leave_out=tuple(LEFT_OUT)),
        "run": _settings_rows(scores.run),
        "table": result_table(scores, method_of(scores) or "this result", split),
        "columns": columns_for(scores.measures),
        "sequences": sequence_rows(scores, letters),
        "curves": _curves(per_frame, measure),
        "worst": _worst(per_frame, worst_frames(per_frame, measure, worst), sources, protocol),
        "attributes": attribute_part,
        **_CONSTANTS,
    }
    with atomic_write(path) as part:
        # File names may hold bytes that are not text; the page shows them as references.
        part.write_text(render("report.html.jinja", context), encoding="utf-8", errors="xmlcharrefreplace")


def _default_title(scores: Scores, split: str | None) -> str:
    on = f"{scores.protocol} {split}" if split else scores.protocol
    return f"{method_of(scores) or 'Scores'} on {on}"


def _tiles(scores: Scores) -> list[Tile]:
    """The main figures."""
    statistics = scores.statistics
    tiles = []
    if not math.isnan(scores.j_and_f):
        tiles.append(Tile("J&F", percent(scores.j_and_f), "mean of both"))
    about = {"J": "region similarity", "F": "contour accuracy", "T": "temporal instability, lower is better"}
    tiles += [Tile(name, percent(of.mean), about[name]) for name, of in statistics.items()]
    seconds = scores.run.get("seconds_per_frame")
    if isinstance(seconds, int | float):
        tiles.append(Tile("seconds per frame", f"{seconds:.2g}", str(scores.run.get("device", "measured"))))
    memory = scores.run.get("peak_memory_mb")
    if isinstance(memory, int | float):
        tiles.append(Tile("peak memory", f"{memory:,.0f} MB", "resident"))
    return tiles


def _notices(scores: Scores) -> list[str]:
    """How this result differs from a complete one."""
    notices = []
    if compat := scores.settings.get("compat"):
        notices.append(f"Known faults of {compat} are reproduced; these figures are for comparison with it.")
    return notices + left_out_lines(scores)


def _settings_rows(values: Mapping[str, Any], leave_out: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Settings as text, without unset ones."""
    return [
        (_name_text(key), _value_text(value))
        for key, value in values.items()
        if key not in leave_out and value is not None and value != []
    ]


def _name_text(key: str) -> str:
    if key == "bound_th":
        return "tolerance of F (bound_th)"
    return key.removesuffix("_mb").replace("_", " ") + (" (MB)" if key.endswith("_mb") else "")


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value_text(of)}" for key, of in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value_text(of) for of in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _curves(per_frame: Sequence[Timeline], measure: str) -> Section:
    drawn: list[Curve] = [found for of in per_frame if (found := curve(of, measure)) is not None]
    return Section(drawn, "" if drawn else _PER_FRAME_HINT)


def _worst(
    per_frame: Sequence[Timeline], chosen: Sequence[WorstFrame], sources: Sources | None, protocol: Protocol
) -> Section:
    if not per_frame:
        return Section((), _PER_FRAME_HINT)
    bare = [PicturedFrame(of) for of in chosen]
    if sources is None:
        return Section(bare, remark="Give the predictions and the truth to see them.")
    try:
        shown = list(with_pictures(chosen, sources, protocol))
    except TinctError as error:
        return Section(bare, remark=f"There are no pictures: {error}")
    grey = "The frames themselves were not found; the ground is grey." if any(of.grey for of in shown) else ""
    return Section(shown, "", grey)


def _attributes(
    scores: Scores, given: Path | None, truth: Path | None, measure: str
) -> tuple[dict[str, tuple[str, ...]], Section]:
    """The attributes of each sequence, and the scores of each attribute."""
    path = given or (find_attributes(truth) if truth is not None else None)
    if path is None:
        return {}, Section((), "There is no db_info.yml, which says what each sequence of DAVIS is like.")
    try:
        letters = read_attributes(path)
    except TinctError as error:
        return {}, Section((), f"There are no attributes: {error}")
    rows: tuple[AttributeScore, ...] = attribute_scores(scores, letters, measure)
    return letters, Section(
        rows, "" if rows else f"None of the scored sequences has an attribute in {path.name}."
    )
