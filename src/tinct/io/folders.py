"""Which files of a folder are the frames of a video, and in what order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tinct.errors import VideoError
from tinct.io.natural_order import natural_order

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as a frame in a folder of frames."""

_SAME_KIND = {".jpeg": ".jpg", ".tiff": ".tif"}
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")
_MASK_WORD = re.compile(r"mask|matte|label|annot|segment|overlay", re.IGNORECASE)


def frame_files(folder: Path) -> list[Path]:
    """The frames in a folder, in natural order.

    Raises:
        VideoError: There are none, one is there twice or no file, or some do not look like the others' kind.
    """
    files = _images(folder)
    if not files:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise VideoError(f"{folder} holds no frames; expected images ({kinds}).{_meant(folder)}")
    if len(files) == 1 and (meant := _meant(folder)):
        raise VideoError(f"{folder} holds a single image, {files[0].name}, and folders of images.{meant}")
    stem, times = Counter(f.stem for f in files).most_common(1)[0]
    if times > 1:
        twins = ", ".join(sorted(f.name for f in files if f.stem == stem))
        raise VideoError(f"{folder} holds one frame twice ({twins}); keep the images of one kind.")
    for file in files:
        if not file.is_file():
            raise VideoError(f"{file} is called like a frame, but is no file; take it out of the folder.")
    if strangers := _strangers(files):
        names = ", ".join(file.name for file in strangers[:3])
        raise VideoError(
            f"{folder} holds {len(files) - len(strangers)} frames and {names}"
            f"{f' and {len(strangers) - 3} more' if len(strangers) > 3 else ''}, which "
            f"{'does' if len(strangers) == 1 else 'do'} not look like one of them, perhaps a mask; keep the "
            "frames alone in their folder, or give all of them names and endings of one form."
        )
    return natural_order(files, lambda file: file.stem)


def _images(folder: Path) -> list[Path]:
    return [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")]


def _strangers(files: Iterable[Path]) -> list[Path]:
    """Images beside frames that are hardly frames: a lone one of another kind, or with names of another form.

    Of the frames' own kind, only a name that speaks of masks tells.
    """
    by_kind: dict[str, list[Path]] = {}
    for file in sorted(files):
        by_kind.setdefault(_kind(file), []).append(file)
    most = max(by_kind, key=lambda kind: len(by_kind[kind]))
    forms = Counter(_form(file) for file in by_kind[most])
    found: list[Path] = []
    for kind, group in by_kind.items():
        for file in group:
            other_form = _form(file) not in forms if kind != most else len(forms) > 1
            beside_many = kind != most and len(by_kind[most]) > 1
            odd = beside_many and (len(group) == 1 or (other_form and len(forms) == 1))
            if odd or (other_form and _MASK_WORD.search(file.stem)):
                found.append(file)
    return found if len(found) < sum(map(len, by_kind.values())) else []


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    return _SAME_KIND.get(suffix, suffix)


def _form(file: Path) -> str:
    """The name with # for each number."""
    return _NUMBER.sub("#", file.stem)


def _meant(folder: Path) -> str:
    """A hint at folders of frames in a folder without images."""
    inside = sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    found = [str(place) for place in inside[:100] if len(_images(place)) > 1]
    if not found:
        return ""
    more = f" (or another of its {len(found)} folders)" if len(found) > 1 else ""
    return f" Did you mean {found[0]}{more}?"
