"""Photos with the instances of a COCO file: JSON with polygons or run lengths, and a folder of images.

    ROOT/annotations/instances_train2017.json
    ROOT/train2017/000000000009.jpg

or any FILE.json with a folder `images` beside it. A photo's instances are its objects, numbered from 1 in the
order of the file, small ones over large ones; crowds are void.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinct.data.images import read_rgb
from tinct.data.static_images import Photo, Photos, StillFilter, filtered
from tinct.errors import DatasetError
from tinct.io.json_files import read_json, reading
from tinct.io.optional import import_optional
from tinct.shapes import VOID, BinaryMask, Image, LabelMap

FORM = '{"images": [{"id", "file_name", "height", "width"}], "annotations": [{"image_id", "segmentation"}]}'


@dataclass(frozen=True, eq=False)
class CocoPhoto:
    """A photo and its instances.

    Attributes:
        image: The photo's file.
        size: (H, W) in pixels.
        instances: Entries of "annotations".
    """

    image: Path
    size: tuple[int, int]
    instances: tuple[Mapping[str, Any], ...]

    def read(self) -> tuple[Image, LabelMap]:
        """Read the photo as uint8 RGB, and its label map; objects after the 254th are void.

        Raises:
            DatasetError: The photo is broken or of another size, or a segmentation is.
        """
        image = read_rgb(self.image)
        if image.shape[:2] != self.size:
            raise DatasetError(
                f"{self.image} is {image.shape[1]}×{image.shape[0]}, but its entry in the COCO file says "
                f"{self.size[1]}×{self.size[0]}; fetch both again, of one release."
            )
        objects = (entry for entry in self.instances if not entry.get("iscrowd"))
        ids = {id(entry): min(number, VOID) for number, entry in enumerate(objects, start=1)}
        masks = [(ids.get(id(entry), VOID), self._mask(entry)) for entry in self.instances]
        labels = np.zeros(self.size, np.uint8)
        # A crowd lies behind whatever was outlined in it.
        for object_id, mask in sorted(masks, key=lambda item: (item[0] != VOID, -int(item[1].sum()))):
            labels[mask] = object_id
        return image, labels

    def _mask(self, entry: Mapping[str, Any]) -> BinaryMask:
        coco = import_optional("pycocotools.mask", "coco", "Training on a COCO file")
        fix = "Fetch the annotations again."
        with reading(
            f"Instance {entry.get('id')} of {self.image.name}", "a COCO segmentation", fix, DatasetError
        ):
            shape = entry["segmentation"]
            if isinstance(shape, list):
                shape = coco.merge(coco.frPyObjects(shape, *self.size))
            elif isinstance(shape["counts"], list):
                shape = coco.frPyObjects(shape, *self.size)
            with warnings.catch_warnings():
                # Of NumPy 2, about how pycocotools makes its arrays.
                warnings.simplefilter("ignore", DeprecationWarning)
                mask = np.asarray(coco.decode(shape), np.bool_)
            if mask.shape != self.size:
                raise ValueError(f"its mask is {mask.shape[1]}×{mask.shape[0]}")
            return mask


class CocoPhotos(Photos):
    """The photos of a COCO file that show an instance.

    Args:
        root: The JSON file, or the folder of a release that holds one.
        only: Only the photos for which it is true.
        without: Without the photos for which it is true.

    Raises:
        DatasetError: The file or its images are missing, it is no COCO file, or no photo is left.
    """

    def __init__(
        self, root: Path, *, only: StillFilter | None = None, without: StillFilter | None = None
    ) -> None:
        file = annotation_file(root)
        folder = image_folder(file)
        fix = f"Expected {FORM}."
        content = read_json(file, "a COCO file", fix, DatasetError)
        with reading(file, "a COCO file", fix, DatasetError):
            found = _photos(content, folder)
        if not found:
            raise DatasetError(f"{file} has no instance on any of its {len(content['images'])} images.")
        if not found[0].image.is_file():
            raise DatasetError(
                f"There is no image {found[0].image}, which {file} names first; fetch the images, or put "
                f"them into {file.parent / 'images'}."
            )
        super().__init__(filtered(found, root, only=only, without=without))


def annotation_file(root: Path) -> Path:
    """The COCO file of a release.

    Raises:
        DatasetError: It holds none, or several from which one is to be chosen.
    """
    if root.suffix == ".json":
        return root
    files = sorted((*root.glob("annotations/instances_*.json"), *root.glob("*.json")))
    of_training = [file for file in files if "train" in file.stem] or files
    if len(of_training) != 1:
        names = ", ".join(str(file.relative_to(root)) for file in files) or "none"
        raise DatasetError(
            f"{root} holds these COCO files: {names}; one was expected, such as "
            "annotations/instances_train2017.json. Give the file itself."
        )
    return of_training[0]


def image_folder(file: Path) -> Path:
    """The folder of a COCO file's images.

    Raises:
        DatasetError: There is none; the message says where it was looked for.
    """
    candidates = [file.parent / "images", file.parent.parent / file.stem.removeprefix("instances_")]
    for folder in (*candidates, candidates[1].parent / "images"):
        if folder.is_dir():
            return folder
    raise DatasetError(
        f"The images of {file} are neither in {candidates[0]} nor in {candidates[1]}; put them into one of "
        "these folders."
    )


def _photos(content: Mapping[str, Any], folder: Path) -> Sequence[Photo]:
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in content["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    return [
        CocoPhoto(folder / row["file_name"], (row["height"], row["width"]), tuple(by_image[row["id"]]))
        for row in content["images"]
        if any(not entry.get("iscrowd") for entry in by_image.get(row["id"], ()))
    ]
