"""Several methods over one clip: how far their masks agree, what each took, and a page that shows it.

Agreement is no accuracy: without annotations nobody knows which of two methods is right. The page says so,
and prints published figures apart, as their authors'.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinct import zoo
from tinct._version import __version__
from tinct.errors import OptionError, TinctError
from tinct.evaluation.report.pictures import data_uri, mask_picture
from tinct.evaluation.report.templates import render
from tinct.io.atomic import atomic_write
from tinct.io.json_files import parse_json
from tinct.io.overlay import mask_paths, read_labels
from tinct.io.regular_files import read_regular
from tinct.io.video import Video
from tinct.metrics.region import region_similarity
from tinct.shapes import Float64, LabelMap

PICTURED = 6
"""Frames that the page shows: those on which the methods differ most, and the last."""


@dataclass(frozen=True)
class MethodRun:
    """One method's run over the clip.

    Attributes:
        method: A name of the zoo.
        variant: Of it.
        folder: Of the run, with masks/ and run.json.
        failure: Why there are no masks; empty if there are.
        seconds_per_frame: Median, decoding included.
        peak_memory_mb: Resident memory of the process.
        weights: Which, with their hash.
        peak_gpu_memory_mb: What the method took of a GPU, if it ran on one.
    """

    method: str
    variant: str
    folder: Path
    failure: str = ""
    seconds_per_frame: float | None = None
    peak_memory_mb: float | None = None
    weights: str = ""
    peak_gpu_memory_mb: float | None = None

    @property
    def name(self) -> str:
        """Method and variant."""
        return f"{self.method} {self.variant}"


def parse_methods(text: str) -> list[tuple[str, str]]:
    """The methods and variants of `feelvos,sam2:large`, in that order.

    Raises:
        OptionError: There is no such method or variant, none, or one comes twice.
    """
    found: list[tuple[str, str]] = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        method, _, variant = word.partition(":")
        pair = (method, zoo.check_variant(method, variant or None))
        if pair in found:
            raise OptionError(f"{word} came twice; name each method once, its variants as METHOD:VARIANT.")
        found.append(pair)
    if not found:
        raise OptionError(f"No method came in {text!r}; name some: --methods feelvos,sam2,edgetam.")
    return found


def finished_run(method: str, variant: str, folder: Path) -> MethodRun:
    """What a run folder says of the run that filled it.

    Raises:
        TinctError: There is no run.json, or it is damaged.
    """
    try:
        content = parse_json(read_regular(folder / "run.json"))
        seconds = content.get("seconds_per_frame", {}).get("median")
        run = content["run"]
        weights = run.get("weights", "in the package or a file")
        return MethodRun(
            method, variant, folder, "", seconds, content.get("peak_memory_mb"),
            f"{weights}, sha256 {run['weights_sha256'][:12]}", content.get("peak_gpu_memory_mb"),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TinctError(
            f"{folder}/run.json is not what a run leaves behind: {error!r}. Run it again."
        ) from error


def agreements(maps: Sequence[LabelMap]) -> Float64[np.ndarray, "M M"]:
    """Mean J over objects between any two of several label maps of one frame; of none in both it is 1."""
    ids = sorted({int(i) for labels in maps for i in np.unique(labels)} - {0, 255})
    found = np.ones((len(maps), len(maps)))
    for a, b in itertools.combinations(range(len(maps)), 2):
        each = [region_similarity(maps[a] == i, maps[b] == i) for i in ids]
        found[a, b] = found[b, a] = float(np.mean(each)) if each else 1.0
    return found


def write_page(path: Path, video: Video, annotated: set[int], runs: Sequence[MethodRun]) -> None:
    """Write the page, one HTML file without scripts, atomically.

    Args:
        path: The file.
        video: The clip.
        annotated: Frames whose masks were given; they count for no agreement.
        runs: Of all methods, failed ones too.

    Raises:
        OutputError: It cannot be written.
        TinctError: A mask is missing or not of the clip's size.
    """
    done = [run for run in runs if not run.failure]
    files = [mask_paths(video, run.folder / "masks") for run in done]
    compared = [index for index in range(len(video)) if index not in annotated] or list(range(len(video)))

    def maps(index: int) -> list[LabelMap]:
        return [read_labels(paths[index], video.size) for paths in files]

    found = np.stack([agreements(maps(index)) for index in compared]) if done else np.zeros((0, 0, 0))
    context: dict[str, Any] = {
        "version": __version__,
        "title": video.path.name if video.path is not None else "the clip",
        "frames": len(video),
        "size": f"{video.size[1]}×{video.size[0]}",
        "runs": runs,
        "done": done,
        "agreement": found.mean(0).tolist() if done else [],
        "rows": [],
        "published": [
            (run.name, name, score)
            for run in runs
            for name, score in zoo.published_scores(run.method, run.variant).items()
        ],
    }
    pairs = found[:, *np.triu_indices(len(done), 1)].mean(1) if len(done) > 1 else np.ones(len(found))
    for index in _pictured(pairs, compared) if done else ():
        frame = next(iter(video.frames(index, index + 1)))
        pictures = [data_uri(mask_picture(frame, labels, ids=True)) for labels in maps(index)]
        context["rows"].append((index, float(pairs[compared.index(index)]), pictures))
    with atomic_write(path) as part:
        part.write_text(render("methods.html.jinja", context), encoding="utf-8", errors="xmlcharrefreplace")


def _pictured(pairs: Float64[np.ndarray, "T"], compared: Sequence[int]) -> list[int]:
    """The frames to show: the last one, and those of least agreement, apart from one another."""
    order = np.argsort(pairs, kind="stable")
    chosen = [len(compared) - 1]
    for apart in (len(compared) // (2 * PICTURED), 0):
        for place in order.tolist():
            if len(chosen) < PICTURED and all(abs(place - other) > apart for other in chosen):
                chosen.append(place)
    return [compared[place] for place in sorted(chosen)]
