"""`tinct datasets check`: whether a dataset on disk is complete and correct."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tinct.data import plain
from tinct.data.check_layouts import (
    Layout,
    survey_davis,
    survey_plain,
    survey_segtrack,
    survey_youtube_vos,
)
from tinct.data.check_sequence import Finding, Kind, check_sequence
from tinct.data.lists import DATASETS, first_names
from tinct.errors import MissingDatasetError, OptionError, near_match
from tinct.inference.callbacks import ProgressCallback

MAX_NAMED = 5
"""Number of sequences per kind of finding that the summary names; the others are counted."""

TITLES: dict[Kind, str] = {
    "layout": "folders and lists",
    "absent": "absent sequences",
    "list": "lists",
    "count": "number of frames or videos",
    "missing": "missing files",
    "extra": "annotations without a frame",
    "broken": "truncated or unreadable files",
    "size": "sizes",
    "palette": "palettes and values",
    "ids": "object ids",
}


@dataclass(frozen=True)
class CheckReport:
    """The result of a check.

    Attributes:
        dataset: The name of the dataset, such as "davis-2016".
        root: The folder of the dataset.
        deep: Whether every file was decoded.
        sequences: Number of sequences that were found.
        frames: Number of their frames.
        annotations: Number of their annotated frames.
        findings: All faults, sequence by sequence.
    """

    dataset: str
    root: Path
    deep: bool
    sequences: int
    frames: int
    annotations: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def lines(self) -> list[str]:
        """A line per finding, then their number."""
        lines = [f"{TITLES[of.kind]}: {of.path or of.sequence} {of.message}" for of in self.findings]
        return [*lines, self._total]

    @property
    def _total(self) -> str:
        if self.ok:
            return "Nothing is wrong."
        return f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}."

    @property
    def summary(self) -> str:
        """The findings in a few lines: per kind, the first sequences, each with its first file."""
        how = "every file decoded" if self.deep else "heads and ends of the files read"
        lines = [
            f"{self.dataset} in {self.root}: {self.sequences} sequences, {self.frames} frames, "
            f"{self.annotations} annotated ({how})"
        ]
        for kind in get_args(Kind):
            lines += self._lines([finding for finding in self.findings if finding.kind == kind])
        lines.append(self._total)
        return "\n".join(lines)

    def _lines(self, findings: list[Finding]) -> Iterator[str]:
        """The findings of one kind."""
        if not findings:
            return
        by_message, by_sequence = defaultdict(list), defaultdict(list)
        for finding in findings:
            by_message[finding.message].append(finding)
            # Findings about the whole dataset are few, and are not grouped.
            by_sequence[finding.sequence or str(finding.path)].append(finding)
        title = TITLES[findings[0].kind]
        if findings[0].kind == "absent":
            for message, group in by_message.items():
                names = first_names([finding.sequence for finding in group])
                yield f"{title} ({len(group)}): {names}; each {message}"
            return
        groups = list(by_sequence.values())
        yield f"{title} ({len(findings)}):"
        yield from (f"  {self._line(group)}" for group in groups[:MAX_NAMED])
        if len(groups) > MAX_NAMED:
            yield f"  and in {len(groups) - MAX_NAMED} more sequences"

    def _line(self, group: list[Finding]) -> str:
        first, more = group[0], len(group) - 1
        path = first.path
        if path is not None and path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return f"{path or first.sequence} {first.message}" + (f" (and {more} more)" if more else "")


def check_dataset(
    name: str,
    root: Path,
    *,
    split: str | None = None,
    resolution: str = "480p",
    masks: Path | None = None,
    deep: bool = False,
    progress: ProgressCallback | None = None,
) -> CheckReport:
    """Find what is missing, truncated, or has a wrong size or palette.

    Args:
        name: One of `DATASETS`.
        root: The dataset's folder, as the classes of `tinct.data` expect it; of "plain" the folder of
            the frames, or one that holds frames and masks under their usual names.
        split: Only this split, of DAVIS or YouTube-VOS.
        resolution: Of DAVIS: "480p", "1080p" or "Full-Resolution".
        masks: Of "plain": the folder of the masks.
        deep: Decode every file; otherwise heads and ends are read, and one annotation per sequence.
        progress: Called with a sequence's name, its number from 1, and the number of sequences.

    Raises:
        OptionError: The dataset, resolution or split is unknown.
        DatasetError: The root does not exist, or has nothing of the layout to check.
    """
    if name not in DATASETS:
        raise OptionError(f"There is no dataset {name!r} to check. {near_match(name, DATASETS)}")
    if not root.is_dir():
        raise MissingDatasetError(f"There is no folder {root}; give the root of {name}.")
    if split is not None and name in ("segtrack-v2", "plain"):
        raise OptionError(f"{name} has no splits, but {split!r} was asked for; leave the split out.")
    layout = _survey(name, root, split, resolution, masks)
    findings = layout.findings
    for number, files in enumerate(layout.sequences, start=1):
        findings += check_sequence(files, deep=deep)
        if progress is not None:
            progress(files.name, number, len(layout.sequences))
    frames = sum(len(files.frames) for files in layout.sequences)
    annotations = sum(len(files.masks) for files in layout.sequences)
    return CheckReport(name, root, deep, len(layout.sequences), frames, annotations, tuple(findings))


def _survey(name: str, root: Path, split: str | None, resolution: str, masks: Path | None) -> Layout:
    if name.startswith("davis-"):
        return survey_davis(root, name.removeprefix("davis-"), split, resolution)
    if name == "youtube-vos":
        return survey_youtube_vos(root, split)
    if name == "segtrack-v2":
        return survey_segtrack(root)
    return survey_plain(*((root, masks) if masks is not None else plain.default_folders(root)))
