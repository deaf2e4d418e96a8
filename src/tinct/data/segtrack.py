"""SegTrack v2 (Li et al., ICCV 2013): 14 sequences, 24 objects, in a special layout.

    ImageSets/all.txt                      a sequence per line, each behind a `*`
    ImageSets/<sequence>.txt               the folder, ending in `/`, then a frame's name per line
    JPEGImages/<sequence>/<frame>.*        png, bmp or jpg
    GroundTruth/<sequence>/<frame>.*       black and white, if there is one object
    GroundTruth/<sequence>/<n>/<frame>.*   black and white, for object n of several

Suffixes differ between sequences, and even between the objects of one. Frame numbers
need not start at 0. There is no training split.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tinct.data.annotations import Annotations, LabelFiles, ObjectFiles, files_of
from tinct.data.lists import read_list
from tinct.data.sequences import Sequence, SequenceDataset, select
from tinct.errors import DatasetError
from tinct.io.regular_files import read_regular

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png"})


class SegTrack(SequenceDataset):
    """SegTrack v2 in its official layout.

    Args:
        root: The folder that holds JPEGImages, GroundTruth and ImageSets.
        only: Only these sequences.

    Raises:
        DatasetError: A list, a folder or a listed frame is missing, or nothing is annotated.
        OptionError: `only` names a sequence that the list does not hold.
    """

    def __init__(self, root: Path, *, only: Collection[str] | None = None) -> None:
        names = select(sequence_names(root), only, "SegTrack v2's list")
        super().__init__(tuple(_sequence(root, name) for name in names))


def segtrack_annotations(root: Path, *, only: Collection[str] | None = None) -> tuple[Annotations, ...]:
    """Find the annotations of SegTrack v2, sorted by name, without the frames.

    Args:
        root: The folder that holds GroundTruth and ImageSets.
        only: Only these sequences.

    Raises:
        DatasetError: A list or a sequence's annotation is missing.
        OptionError: `only` names a sequence that the list does not hold.
    """
    names = select(sorted(sequence_names(root)), only, "SegTrack v2's list")
    return tuple(_annotations(root, name) for name in names)


def sequence_names(root: Path) -> tuple[str, ...]:
    """The sequences of all.txt, in its order; without this list, those with a ground truth.

    Raises:
        DatasetError: There is no sequence.
    """
    listing, truth = root / "ImageSets" / "all.txt", root / "GroundTruth"
    if listing.is_file():
        names = tuple(name.lstrip("*") for name in read_list(listing))
    else:
        names = tuple(sorted(path.name for path in truth.glob("[!.]*") if path.is_dir()))
    if not names:
        raise DatasetError(
            f"{root} has no list ImageSets/all.txt and no folder GroundTruth/<sequence>; give the folder "
            "that holds JPEGImages, GroundTruth and ImageSets as the root."
        )
    return names


def frame_names(root: Path, name: str) -> tuple[str, ...]:
    """The frames of a sequence's list, in its order; empty if it has no list.

    Raises:
        DatasetError: The list is not text.
    """
    listing = root / "ImageSets" / f"{name}.txt"
    if not listing.exists():
        return ()
    try:
        lines = [line.strip() for line in read_regular(listing).decode().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{listing} cannot be read as a list ({error}); one frame per line.") from error
    # The first line is the folder. Names with a suffix are allowed, though no known list has them.
    return tuple(_stem(line) for line in lines if line and not line.endswith("/"))


def ground_truth(root: Path, name: str) -> dict[str, ObjectFiles]:
    """The mask images of every annotated frame, by the frame's name, in natural order.

    An object without an image in a frame is absent from it.
    """
    folder = root / "GroundTruth" / name
    numbered = (
        [path for path in folder.iterdir() if path.is_dir() and path.name.isdigit()]
        if folder.is_dir()
        else []
    )
    found: dict[str, list[tuple[int, Path]]] = {}
    for object_id, objects in sorted((int(path.name), path) for path in numbered) or [(1, folder)]:
        for file in files_of(objects, SUFFIXES):
            found.setdefault(file.stem, []).append((object_id, file))
    return {stem: ObjectFiles(stem, tuple(files)) for stem, files in found.items()}


def frame_files(root: Path, name: str) -> dict[str, Path]:
    """The frames of a sequence by name, in natural order."""
    return {path.stem: path for path in files_of(root / "JPEGImages" / name, SUFFIXES)}


def _sequence(root: Path, name: str) -> Sequence:
    files = frame_files(root, name)
    stems = frame_names(root, name) or tuple(files)
    missing = [stem for stem in stems if stem not in files]
    if missing or not stems:
        lacking = (
            f"{len(missing)} of {len(stems)} frames, the first of them {missing[0]!r}" if stems else "frames"
        )
        raise DatasetError(
            f"{root / 'JPEGImages' / name} lacks {lacking}; .png, .bmp or .jpg was expected. Fetch the "
            "dataset again."
        )
    truth = ground_truth(root, name)
    label_maps = tuple(truth.get(stem) for stem in stems)
    if not any(label_maps):
        raise DatasetError(
            f"{root / 'GroundTruth' / name} annotates no frame of {name!r}; fetch the dataset again."
        )
    return Sequence(name, tuple(files[stem] for stem in stems), label_maps, objects_start_later=True)


def _annotations(root: Path, name: str) -> LabelFiles:
    truth = ground_truth(root, name)
    files = tuple(truth[stem] for stem in frame_names(root, name) or tuple(truth) if stem in truth)
    if not files:
        raise DatasetError(
            f"{root / 'GroundTruth' / name} annotates no frame of {name!r}; fetch the dataset again."
        )
    return LabelFiles(name, files)


def _stem(line: str) -> str:
    path = Path(line)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name
