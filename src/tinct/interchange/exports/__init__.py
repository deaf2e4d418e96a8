"""Masks on their way into other programs: one format per file, all of them in `FORMATS`.

Every format goes through the video once and keeps one frame in memory. What it makes appears whole
or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tinct.errors import OptionError, OutputError, near_match
from tinct.interchange.exports.coco import write_coco
from tinct.interchange.exports.cutout_png import write_cutout_pngs
from tinct.interchange.exports.cutout_prores import write_cutout_prores
from tinct.interchange.exports.exr import write_exrs
from tinct.interchange.exports.formats import ExportFormat, ExportJob
from tinct.interchange.exports.object_png import write_object_pngs
from tinct.interchange.exports.overlay_video import write_overlay_video
from tinct.interchange.exports.palette_png import write_palette_pngs
from tinct.interchange.exports.soft_png import write_soft_pngs
from tinct.interchange.exports.source import LabelledVideo
from tinct.interchange.exports.youtube_vis import write_youtube_vis
from tinct.io.atomic import atomic_folder, atomic_write

__all__ = ["FORMATS", "ExportFormat", "ExportJob", "LabelledVideo", "export"]

_ALL = (
    ExportFormat("palette-png", "Palette PNG sequence", write_palette_pngs),
    ExportFormat("object-png", "One black-and-white PNG sequence per object", write_object_pngs),
    ExportFormat("soft-png", "Soft masks: 16-bit PNG sequence per object", write_soft_pngs, needs_soft=True),
    ExportFormat("coco", "COCO RLE JSON with track ids", write_coco, ".json", "coco"),
    ExportFormat("youtube-vis", "YouTube-VIS JSON", write_youtube_vis, ".json", "coco"),
    ExportFormat(
        "overlay", "Film with the masks drawn in (MP4)", write_overlay_video, ".mp4", needs_video=True
    ),
    ExportFormat(
        "cutout-prores",
        "Cut-out with alpha (ProRes 4444 MOV)",
        write_cutout_prores,
        ".mov",
        needs_video=True,
        can_be_soft=True,
    ),
    ExportFormat(
        "cutout-png",
        "Cut-out with alpha (RGBA PNG sequence)",
        write_cutout_pngs,
        needs_video=True,
        can_be_soft=True,
    ),
    ExportFormat("exr", "OpenEXR sequence, a channel per object", write_exrs, extra="vfx", can_be_soft=True),
)

FORMATS: Mapping[str, ExportFormat] = MappingProxyType({one.name: one for one in _ALL})
"""Every format by its name."""


def export(
    source: LabelledVideo,
    to: str,
    out: str | Path,
    first: int = 0,
    last: int | None = None,
    names: Mapping[int, str] | None = None,
    *,
    soft: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a video's masks in a format of `FORMATS`.

    Args:
        source: The video and its masks.
        to: The format's name.
        out: The file to write (its ending is put right), or the folder to make. A file is replaced;
            a folder that holds something is not.
        first: Index of the first frame.
        last: Index of the last frame, which is exported too; None for the video's last.
        names: Names of objects, before those that `source` has.
        soft: Whether alpha and channels are the probabilities; the other formats know no soft edges.
        progress: Called with the frames done, and in all.

    Returns:
        What was written.

    Raises:
        OptionError: No such format, range or object; no soft masks; no pictures where the format shows
            them; or a package is missing.
        MaskError: A mask is missing, damaged or of another size.
        VideoError: A frame cannot be read.
        OutputError: It cannot be written.
    """
    one = format_of(to)
    source, last = _checked(source, one, first, last, names or {}, soft)
    path = Path(out)
    if one.suffix is not None and path.suffix.lower() != one.suffix:
        path = path.with_name(path.name + one.suffix)
    total = last + 1 - first

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, total)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made: {error.strerror or error}.") from error
    whole: AbstractContextManager[Path] = (atomic_write if one.one_file else atomic_folder)(path)
    with whole as part:
        one.write(ExportJob(source, part, first, last, soft, tell))
    return path


def format_of(name: str) -> ExportFormat:
    """A format by its name; OptionError if there is none."""
    if name not in FORMATS:
        raise OptionError(f"There is no export format {name!r}. {near_match(name, FORMATS)}")
    return FORMATS[name]


def _checked(
    source: LabelledVideo,
    one: ExportFormat,
    first: int,
    last: int | None,
    names: Mapping[int, str],
    soft: bool,
) -> tuple[LabelledVideo, int]:
    """The source under its names, and the last frame, once it is certain that the export makes sense."""
    last = len(source) - 1 if last is None else last
    if not 0 <= first <= last < len(source):
        raise OptionError(
            f"Frames {first} to {last} were asked for; the video has frames 0 to {len(source) - 1}, and the "
            "first must not come after the last."
        )
    strangers = sorted(set(names) - set(source.object_ids))
    if strangers:
        known = ", ".join(map(str, source.object_ids)) or "none"
        raise OptionError(f"A name came for object {strangers[0]}; the video has the objects {known}.")
    if not source.object_ids:
        raise OptionError("There is nothing to export: the video has no objects.")
    if one.needs_video:
        source.shown()
    if soft and not one.can_be_soft and not one.needs_soft:
        able = ", ".join(name for name, other in FORMATS.items() if other.can_be_soft)
        raise OptionError(f"{one.name} has no soft edges; those that can have them: {able}.")
    if soft or one.needs_soft:
        source.read_soft(first)
    return replace(source, object_names={**source.object_names, **names}), last
