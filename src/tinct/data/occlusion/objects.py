"""The pools that occlusion clips draw from: objects cut out of pictures, and backgrounds without objects.

Objects come from photos with masks, or from the frames of a video; those are animated, and return in
another pose. A background is the largest part of a picture that shows no object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tinct.data.davis import Davis
from tinct.data.static_images import StaticImages
from tinct.data.synthetic import Random
from tinct.data.transforms import jitter_colours
from tinct.errors import DatasetError
from tinct.shapes import VOID, BinaryMask, Image, LabelMap, UInt8, holds_arrays

MIN_OBJECT_PX = 3000
"""Smaller objects are too coarse to be shown large."""

MIN_BACKGROUND_ROWS = 180
"""Smaller parts of a picture are too coarse for a background."""

VIDEO_POSE_FRAMES = 24
"""Number of consecutive video frames that a video's object shows, forwards and backwards."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class Cutout:
    """An object cut out of a picture, with a margin of `MARGIN` pixels.

    Attributes:
        image: uint8 RGB [h, w, 3]; the object's colours continue beyond its edge.
        alpha: uint8 [h, w], soft at the edge; the object is where it is above 127.
    """

    MARGIN = 3

    image: Image
    alpha: LabelMap

    @property
    def mask(self) -> BinaryMask:
        """The object's pixels."""
        return self.alpha > 127

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the object's box, without the margin."""
        return self.alpha.shape[0] - 2 * self.MARGIN, self.alpha.shape[1] - 2 * self.MARGIN


@dataclass(frozen=True)
class ForegroundObject:
    """An object cut out of a photo or a video.

    Attributes:
        source: Where it comes from, such as "feral_cat/cat0003:1".
        category: The photo's folder, or the video; objects of one category may look alike.
        poses: One or more series of cut-outs; each segment of a trajectory shows another one.
    """

    source: str
    category: str
    poses: tuple[tuple[Cutout, ...], ...]


class ObjectPool:
    """Samples foreground objects.

    Args:
        stills: Photos with masks, or None.
        videos: Sequences with masks, or None.
    """

    VIDEO_SHARE = 0.2
    """Share of objects that come from a video, if there are both."""

    CATEGORIES = 8
    """Number of folders and videos that are tried."""

    ATTEMPTS = 20
    """Number of objects that are tried in each."""

    def __init__(self, stills: StaticImages | None, videos: Davis | None) -> None:
        self.stills, self.videos = stills, videos
        self.video_share = self.VIDEO_SHARE if stills is not None else 1.0
        self._of_folder: dict[str, list[int]] = {}
        for index, still in enumerate(stills or ()):
            self._of_folder.setdefault(still.image.parent.parent.name, []).append(index)

    def draw(self, random: Random, category: str | None = None) -> ForegroundObject | None:
        """Draw an object that is whole and large enough.

        Args:
            random: The source of randomness.
            category: Only objects of this category; None for any.

        Returns:
            None if the category is given and has no such object.

        Raises:
            DatasetError: No object was found at all, or a picture is broken.
        """
        for _ in range(self.CATEGORIES):
            # Categories first, then objects: else the largest or the tidiest category would dominate.
            chosen = category or self._any_category(random)
            for _ in range(self.ATTEMPTS):
                instance = self._try(random, chosen)
                if instance is not None:
                    return instance
            if category is not None:
                return None
        raise DatasetError(
            f"{self.CATEGORIES * self.ATTEMPTS} objects in a row were cut off, in parts, or smaller than "
            f"{MIN_OBJECT_PX} pixels; give more photos or videos that show whole objects."
        )

    def _any_category(self, random: Random) -> str:
        if self.videos is not None and random.random() < self.video_share:
            return self.videos[int(random.integers(len(self.videos)))].name
        return str(random.choice(sorted(self._of_folder)))

    def _try(self, random: Random, category: str) -> ForegroundObject | None:
        if category in self._of_folder:
            return self._from_still(random, int(random.choice(self._of_folder[category])))
        assert self.videos is not None
        return self._from_video(random, [sequence.name for sequence in self.videos].index(category))

    def _from_still(self, random: Random, index: int) -> ForegroundObject | None:
        assert self.stills is not None
        still = self.stills[index]
        image, labels = still.read()
        ids = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:VOID] >= MIN_OBJECT_PX)
        ids = ids[ids > 0]
        if len(ids) == 0:
            return None
        object_id = int(random.choice(ids))
        cutout = cut_out_whole_object(image, labels, object_id)
        if cutout is None:
            return None
        folder = still.image.parent.parent.name
        return ForegroundObject(f"{folder}/{still.image.stem}:{object_id}", folder, ((cutout,),))

    def _from_video(self, random: Random, index: int) -> ForegroundObject | None:
        assert self.videos is not None
        sequence = self.videos[index]
        poses = []
        for start in random.permutation(len(sequence))[:2]:
            row = []
            for t in range(int(start), min(len(sequence), int(start) + VIDEO_POSE_FRAMES)):
                cutout = cut_out_whole_object(sequence.read_frame(t), sequence.read_labels(t), 1)
                if cutout is None:
                    break
                row.append(cutout)
            if len(row) < VIDEO_POSE_FRAMES // 2:
                return None
            poses.append(tuple(row))
        return ForegroundObject(f"{sequence.name}:1", sequence.name, tuple(poses))


def cut_out_whole_object(image: Image, labels: LabelMap, object_id: int) -> Cutout | None:
    """Cut out one object; None if it is small, in parts, or cut off by the picture's border."""
    solid = (labels == object_id).astype(np.uint8)
    count, _, numbers, _ = cv2.connectedComponentsWithStats(solid)
    if count < 2 or numbers[1:, cv2.CC_STAT_AREA].max() < max(MIN_OBJECT_PX, 0.95 * solid.sum()):
        return None
    x, y, w, h = cv2.boundingRect(solid)
    margin = Cutout.MARGIN
    rows, columns = solid.shape
    if min(x, y) < margin or x + w > columns - margin or y + h > rows - margin:
        return None
    box = np.s_[y - margin : y + h + margin, x - margin : x + w + margin]
    # Not `synthetic.cut_out`: it erodes the rim, and with it a walker's ankles.
    alpha = np.asarray(cv2.GaussianBlur(solid[box] * np.uint8(255), (3, 3), 0), np.uint8)
    return Cutout(_spread_colours(image[box], solid[box]), alpha)


RIM_PX = 2
"""Width of the rim inside an object whose pixels may still show what lay behind it."""


def _spread_colours(image: Image, solid: LabelMap) -> Image:
    """Replace the colours of the rim and of what lies beyond it by those of the nearest inner pixel.

    Parts of the object that are all rim keep their own colours.
    """
    inner = cv2.erode(solid, np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8))
    if not inner.any():
        return image
    distance, nearest = cv2.distanceTransformWithLabels(
        1 - inner, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Every inner pixel has a number of its own; numbers start at 1.
    colours = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colours[nearest[inner > 0]] = image[inner > 0]
    thin = (solid > 0) & (distance > 2 * RIM_PX)
    return np.asarray(np.where(thin[..., None], image, colours[nearest]), np.uint8)


def relight(cutouts: Sequence[Cutout], random: Random, strength: float) -> tuple[Cutout, ...]:
    """Change the colours of all cut-outs by one and the same jitter, as another light would."""
    seed = int(random.integers(2**32))
    return tuple(
        Cutout(
            jitter_colours(cutout.image[None], np.random.default_rng(seed), strength=strength)[0],
            cutout.alpha,
        )
        for cutout in cutouts
    )


class BackgroundPool:
    """Samples backgrounds.

    Args:
        stills: Photos with masks, or None.
        videos: Sequences with masks, or None; their frames are larger than most photos.
    """

    VIDEO_SHARE = 0.7
    """Share of backgrounds that come from a video, if there are both."""

    ATTEMPTS = 300

    def __init__(self, stills: StaticImages | None, videos: Davis | None) -> None:
        self.stills, self.videos = stills, videos
        self.video_share = 0.0 if videos is None else 1.0 if stills is None else self.VIDEO_SHARE

    def draw(self, random: Random, aspect: float) -> tuple[str, Image]:
        """Draw a background of an aspect (width / height): its name and its pixels.

        Raises:
            DatasetError: No background was found, or a picture is broken.
        """
        for _ in range(self.ATTEMPTS):
            name, image, labels = self._read(random)
            box = largest_empty_box(labels, aspect)
            if box is not None and box[2] - box[0] >= MIN_BACKGROUND_ROWS:
                y0, x0, y1, x1 = box
                return name, np.ascontiguousarray(image[y0:y1, x0:x1])
        raise DatasetError(
            f"{self.ATTEMPTS} pictures in a row had no part of {MIN_BACKGROUND_ROWS} rows without an object; "
            "give more photos or videos whose objects leave room."
        )

    def _read(self, random: Random) -> tuple[str, Image, LabelMap]:
        if self.videos is not None and random.random() < self.video_share:
            sequence = self.videos[int(random.integers(len(self.videos)))]
            t = int(random.integers(len(sequence)))
            return (
                f"{sequence.name}/{sequence.frames[t].stem}",
                sequence.read_frame(t),
                sequence.read_labels(t),
            )
        assert self.stills is not None
        still = self.stills[int(random.integers(len(self.stills)))]
        return f"{still.image.parent.parent.name}/{still.image.stem}", *still.read()


def largest_empty_box(labels: LabelMap, aspect: float, step: int = 8) -> tuple[int, int, int, int] | None:
    """(y0, x0, y1, x1) of the largest box of an aspect without an object or void; None if there is none.

    Args:
        labels: Label map.
        aspect: Width / height.
        step: Rows between the heights that are tried.
    """
    near = cv2.dilate((labels > 0).astype(np.uint8), np.ones((7, 7), np.uint8))
    sums = np.pad(near.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = labels.shape
    for h in _heights(rows, columns, aspect, step):
        w = round(h * aspect)
        objects = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        if not objects.all():
            y, x = np.unravel_index(int(objects.argmin()), objects.shape)
            return int(y), int(x), int(y) + h, int(x) + w
    return None


def _heights(rows: int, columns: int, aspect: float, step: int) -> Iterable[int]:
    most = min(rows, int(columns / aspect))
    return (h for h in range(most, 0, -step) if 1 <= round(h * aspect) <= columns)


def pillar_cutout(picture: UInt8[np.ndarray, "h w 3"], random: Random) -> Cutout:
    """A tall occluder made of a strip of a background, like the edge of a wall or a trunk.

    Args:
        picture: Any picture.
        random: The source of randomness for the strip and its shading.
    """
    rows, columns = picture.shape[:2]
    width = max(8, int(rows * random.uniform(0.18, 0.3)))
    x = int(random.integers(max(1, columns - width)))
    strip = cv2.GaussianBlur(picture[:, x : x + width], (3, 3), 0).astype(np.float32)
    across = np.linspace(-1, 1, strip.shape[1], dtype=np.float32)
    side = float(random.choice([-1, 1]))
    shade = 0.75 - 0.35 * across**2 + 0.15 * side * across
    image = np.clip(strip * shade[None, :, None], 0, 255).astype(np.uint8)
    margin = Cutout.MARGIN
    sides = ((margin, margin), (margin, margin))
    alpha = np.pad(np.full(image.shape[:2], 255, np.uint8), sides)
    return Cutout(np.pad(image, (*sides, (0, 0)), mode="edge"), cv2.GaussianBlur(alpha, (3, 3), 0))
