"""Export of masks to other programs: one format per module, all of them in `FORMATS`.

Every format reads the video once with one frame in memory. Output is atomic: it appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
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
from tinct.io.atomic import atomic_folder, atomic_write, sweep

__all__ = ["FORMATS", "ExportFormat", "ExportJob", "LabelledVideo", "export", "format_of", "parsed_rate"]

_ALL = (
    ExportFormat("palette-png", "Palette PNG sequence", write_palette_pngs, numbered=True),
    ExportFormat(
        "object-png", "One black-and-white PNG sequence per object", write_object_pngs, numbered=True
    ),
    ExportFormat(
        "soft-png",
        "Soft masks: 16-bit PNG sequence per object",
        write_soft_pngs,
        needs_soft=True,
        numbered=True,
    ),
    ExportFormat("coco", "COCO RLE JSON with track ids", write_coco, ".json", "coco"),
    ExportFormat("youtube-vis", "YouTube-VIS JSON", write_youtube_vis, ".json", "coco"),
    ExportFormat(
        "overlay", "Video with the masks drawn in (MP4)", write_overlay_video, ".mp4", needs_video=True
    ),
    ExportFormat(
        "cutout-prores",
        "Cut-out with alpha (ProRes 4444 MOV)",
        write_cutout_prores,
        ".mov",
        needs_video=True,
        can_be_soft=True,
        numbered=True,
    ),
    ExportFormat(
        "cutout-png",
        "Cut-out with alpha (RGBA PNG sequence)",
        write_cutout_pngs,
        needs_video=True,
        can_be_soft=True,
        numbered=True,
    ),
    ExportFormat(
        "exr",
        "OpenEXR sequence, a channel per object",
        write_exrs,
        extra="vfx",
        can_be_soft=True,
        numbered=True,
    ),
)

FORMATS: Mapping[str, ExportFormat] = MappingProxyType({each.name: each for each in _ALL})
"""The formats by name."""


def export(
    source: LabelledVideo,
    to: str,
    out: str | Path,
    first: int = 0,
    last: int | None = None,
    names: Mapping[int, str] | None = None,
    *,
    soft: bool = False,
    start: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a video's masks in a format of `FORMATS`.

    Args:
        source: The video and its masks.
        to: The name of the format.
        out: The file to write (with the suffix of the format), or the folder to create. A file is replaced;
            a folder that is not empty is an error.
        first: Index of the first frame.
        last: Index of the last frame, which is exported too; None for the video's last.
        names: Names of objects, which override those of `source`.
        soft: Whether alpha and channels are probabilities, in formats that can have soft edges.
        start: The number of the first file (and time code), in formats whose frames have numbers; None for
            the frames' own names.
        progress: Called with the number of frames done and of all frames.

    Returns:
        The path of the file or folder.

    Raises:
        OptionError: The format, range or object does not exist, soft masks or frames that the format needs
            are missing, or a package is not installed.
        MaskError: A mask is missing, damaged or of another size.
        VideoError: A frame cannot be read.
        OutputError: The file or folder cannot be written.
    """
    export_format = format_of(to)
    source, last = _checked(source, export_format, first, last, names or {}, soft)
    if start is not None and (start < 0 or not export_format.numbered):
        able = ", ".join(name for name, other in FORMATS.items() if other.numbered)
        raise OptionError(f"{to} from number {start} on was asked for; expected 0 or more, for {able}.")
    path = Path(out)
    if export_format.suffix is not None and path.suffix.lower() != export_format.suffix:
        path = path.with_name(path.name + export_format.suffix)
    total = last + 1 - first

    def count_frame(done: int) -> None:
        if progress is not None:
            progress(done, total)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made: {error.strerror or error}.") from error
    target: AbstractContextManager[Path] = (atomic_write if export_format.one_file else atomic_folder)(path)
    with target as part:
        export_format.write(ExportJob(source, part, first, last, soft, count_frame, start))
    return path


def format_of(name: str) -> ExportFormat:
    """The format of a name; OptionError if there is none."""
    if name not in FORMATS:
        raise OptionError(f"There is no export format {name!r}. {near_match(name, FORMATS)}")
    return FORMATS[name]


def parsed_rate(text: str, what: str) -> Fraction:
    """Frames per second, exactly: `25`, `23.976` (as 23976/1000) or `24000/1001`.

    Args:
        text: What somebody wrote.
        what: What to call it in messages.

    Raises:
        OptionError: Not a number above 0 and up to 1000.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise OptionError(f"{what} {text!r} came; give frames per second, such as 25 or 30000/1001.")
    return rate


def _checked(
    source: LabelledVideo,
    export_format: ExportFormat,
    first: int,
    last: int | None,
    names: Mapping[int, str],
    soft: bool,
) -> tuple[LabelledVideo, int]:
    """Check the arguments of `export`; return the source with its final names, and the last frame."""
    last = len(source) - 1 if last is None else last
    if not 0 <= first <= last < len(source):
        raise OptionError(
            f"Frames {first} to {last} were asked for; the video has frames 0 to {len(source) - 1}, and the "
            "first must not come after the last."
        )
    unknown = sorted(set(names) - set(source.object_ids))
    if unknown:
        known = ", ".join(map(str, source.object_ids)) or "none"
        raise OptionError(f"A name came for object {unknown[0]}; the video has the objects {known}.")
    if not source.object_ids:
        raise OptionError("There is nothing to export: the video has no objects.")
    if export_format.needs_video:
        source.require_video()
    if soft and not export_format.can_be_soft and not export_format.needs_soft:
        able = ", ".join(name for name, other in FORMATS.items() if other.can_be_soft)
        raise OptionError(f"{export_format.name} has no soft edges; those that can have them: {able}.")
    if soft or export_format.needs_soft:
        source.read_soft(first)
    return replace(source, object_names={**source.object_names, **names}), last
