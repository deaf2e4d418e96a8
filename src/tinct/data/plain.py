"""Plain folders: one of frames and one of masks, whose files match by name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tinct.data.annotations import files_of, label_files
from tinct.data.sequences import Sequence, SequenceDataset, select
from tinct.errors import DatasetError, MissingDatasetError

FRAME_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

FOLDER_PAIRS = (("JPEGImages", "Annotations"), ("frames", "masks"), ("images", "masks"))
"""Names of the two folders of a root that are found without being given."""


class PlainFolders(SequenceDataset):
    """Own sequences: a folder of frames and a folder of masks per sequence, or of a single sequence.

    Frames are images in natural order (2 before 10). A mask is a PNG with the name of its frame; frames
    without a mask are not annotated, and objects begin where they are first annotated.

    Args:
        frames: FRAMES/<sequence>/<frame>.*, or the frames of a sequence with the name of the folder.
        masks: MASKS/<sequence>/<frame>.png, or the masks of that one sequence.
        only: Only these sequences.

    Raises:
        DatasetError: A folder is missing, a mask has no frame, or a sequence no mask.
        OptionError: `only` names a sequence that does not exist.
    """

    def __init__(self, frames: Path, masks: Path, *, only: Collection[str] | None = None) -> None:
        for folder in (frames, masks):
            if not folder.is_dir():
                raise MissingDatasetError(
                    f"There is no folder {folder}; give one with the frames, one with the masks."
                )
        pairs = paired_folders(frames, masks)
        if not pairs:
            raise DatasetError(
                f"{frames} holds no image ({', '.join(sorted(FRAME_SUFFIXES))}) and no folder with images."
            )
        names = select(tuple(pairs), only, str(frames))
        super().__init__(tuple(_sequence(name, *pairs[name]) for name in names))


def default_folders(root: Path) -> tuple[Path, Path]:
    """The folders of frames and masks of a root, by their usual names.

    Raises:
        DatasetError: The root has no such pair.
    """
    for frames, masks in FOLDER_PAIRS:
        if (root / frames).is_dir() and (root / masks).is_dir():
            return root / frames, root / masks
    pairs = ", ".join(" and ".join(pair) for pair in FOLDER_PAIRS)
    raise DatasetError(
        f"{root} holds no folders of frames and masks; {pairs} are looked for. Name both folders."
    )


def paired_folders(frames: Path, masks: Path) -> dict[str, tuple[Path, Path]]:
    """Per sequence its folder of frames and its folder of masks, which need not exist; sorted."""
    if files_of(frames, FRAME_SUFFIXES):
        return {frames.resolve().name: (frames, masks)}
    folders = sorted(path for path in frames.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {path.name: (path, masks / path.name) for path in folders if files_of(path, FRAME_SUFFIXES)}


def _sequence(name: str, frames_folder: Path, masks_folder: Path) -> Sequence:
    frames = files_of(frames_folder, FRAME_SUFFIXES)
    masks = {path.stem: path for path in label_files(masks_folder)}
    unpaired = sorted(set(masks) - {path.stem for path in frames})
    if unpaired:
        raise DatasetError(
            f"{masks[unpaired[0]]} is one of {len(unpaired)} masks in {masks_folder} without a frame in "
            f"{frames_folder}; a mask is called as its frame is."
        )
    if not masks:
        raise DatasetError(f"{masks_folder} holds no mask (.png) for the frames of {name!r}; one is needed.")
    label_maps = tuple(masks.get(path.stem) for path in frames)
    return Sequence(name, frames, label_maps, objects_start_later=True)
