"""Synthetic previous masks from the ground truth of a still image (MaskTrack, section 3.2).

Three optional steps: an affine change, a thin-plate spline on a few control points of the contour, and a
dilation that removes detail. All are relative to the object's
box, so that small and large objects are deformed alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Shaped

from tinct.errors import OptionError
from tinct.shapes import BinaryMask, LabelMap

Random = np.random.Generator


@dataclass(frozen=True)
class MaskDeformation:
    """How far a mask is deformed; the defaults are the paper's.

    Attributes:
        scale: Largest change of size, as a fraction of the object's (5 %).
        shift: Largest translation, as a fraction of the box's sides (10 %).
        bend: Largest displacement of a control point, as a fraction of the box's sides (10 %).
        control_points: Number of control points of the spline, drawn from the contour (5).
        dilation_px: Radius of the disc that coarsens the mask (5).

    Raises:
        OptionError: A number is below 0, or there are fewer than 3 control points.
    """

    scale: float = 0.05
    shift: float = 0.10
    bend: float = 0.10
    control_points: int = 5
    dilation_px: int = 5

    def __post_init__(self) -> None:
        if min(self.scale, self.shift, self.bend, self.dilation_px) < 0 or self.control_points < 3:
            raise OptionError(
                f"A deformation with scale = {self.scale}, shift = {self.shift}, bend = {self.bend}, "
                f"dilation_px = {self.dilation_px} and {self.control_points} control points came; nothing "
                "lies below 0, and a thin-plate spline takes 3 control points or more."
            )


def deform_mask(mask: BinaryMask, random: Random, deformation: MaskDeformation) -> BinaryMask:
    """Deform a copy of one object's mask: affine, then thin-plate spline, then dilation.

    An empty mask stays empty; one whose contour has fewer pixels than there are control points is
    not bent, as in the authors' scripts.

    Args:
        mask: bool [H, W], the ground truth; not changed.
        random: The source of randomness.
        deformation: Its limits.
    """
    if not mask.any():
        return mask.copy()
    soft = mask.astype(np.uint8)
    if deformation.scale or deformation.shift:
        soft = _change_affinely(soft, random, deformation)
    if deformation.bend:
        soft = _bend(soft, random, deformation)
    return coarsened(soft.astype(bool), deformation.dilation_px)


def coarsened(mask: Shaped[np.ndarray, "H W"], radius_px: int) -> Shaped[np.ndarray, "H W"]:
    """A mask, binary or soft, dilated by a disc: in training, and before each frame at test."""
    if radius_px == 0:
        return mask.copy()
    rows, columns = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    disc = (rows**2 + columns**2 <= radius_px**2).astype(np.uint8)
    plain = mask.astype(np.uint8) if mask.dtype == np.bool_ else mask
    return np.asarray(cv2.dilate(plain, disc), mask.dtype)


def filled_box(mask: BinaryMask) -> BinaryMask:
    """The bounding box of a mask, filled: the input of MaskTrack's box variant; empty for an empty mask."""
    box = np.zeros_like(mask)
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box[y : y + height, x : x + width] = True
    return box


def _box_size(mask: BinaryMask) -> Float[np.ndarray, "2"]:
    """(width, height) of the mask's bounding box."""
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return np.array([width, height], float)


def _change_affinely(soft: LabelMap, random: Random, deformation: MaskDeformation) -> LabelMap:
    H, W = soft.shape
    x, y, width, height = cv2.boundingRect(soft)
    centre = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
    scale = 1 + random.uniform(-1, 1) * deformation.scale
    shift = random.uniform(-1, 1, 2) * deformation.shift * (width, height)
    matrix = np.column_stack([np.eye(2) * scale, centre + shift - scale * centre])
    return np.asarray(cv2.warpAffine(soft, matrix, (W, H), flags=cv2.INTER_NEAREST), np.uint8)


def _bend(soft: LabelMap, random: Random, deformation: MaskDeformation) -> LabelMap:
    contour = np.argwhere(cv2.dilate(soft, np.ones((3, 3), np.uint8)) > soft)[:, ::-1]
    if len(contour) < deformation.control_points:
        return soft
    targets = _spread_points(contour.astype(float), deformation.control_points, random)
    offsets = random.uniform(-1, 1, targets.shape) * deformation.bend * _box_size(soft.astype(bool))
    field = thin_plate_field(targets, -offsets, (soft.shape[0], soft.shape[1]))
    rows, columns = np.mgrid[: soft.shape[0], : soft.shape[1]].astype(np.float32)
    return np.asarray(
        cv2.remap(soft, columns + field[..., 0], rows + field[..., 1], cv2.INTER_NEAREST), np.uint8
    )


def _spread_points(contour: Float[np.ndarray, "K 2"], count: int, random: Random) -> Float[np.ndarray, "P 2"]:
    """Points of the contour, one from each of `count` equal angular sections.

    The authors' scripts draw them anywhere; points that are close together and move apart throw the far
    side of the object across the frame.
    """
    offsets = contour - contour.mean(0)
    around = np.argsort(np.arctan2(offsets[:, 1], offsets[:, 0]), kind="stable")
    places = (np.arange(count) + random.uniform(0, 1) + random.uniform(-0.3, 0.3, count)) / count
    picked = (places * len(contour)).astype(int) % len(contour)
    return np.asarray(contour[around[picked]], float)


def thin_plate_field(
    points: Float[np.ndarray, "P 2"], values: Float[np.ndarray, "P 2"], size: tuple[int, int]
) -> Float[np.ndarray, "H W 2"]:
    """The thin-plate spline through values at points, at every pixel of a picture.

    The smoothest function that takes those values: U(r) = r² log r² around every point, and an
    affine part. Evaluated on a grid of every 4th pixel and bilinearly in between.

    Args:
        points: (x, y) in pixels.
        values: The values of the spline there, such as displacements (dx, dy).
        size: (H, W) of the picture.
    """
    weights = _spline_weights(points, values)
    rows, columns = (np.arange(0, side + 4, 4, dtype=float) for side in size)
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    affine = np.column_stack([np.ones(len(grid)), grid])
    coarse = _radial(grid, points) @ weights[: len(points)] + affine @ weights[len(points) :]
    coarse = coarse.reshape(len(rows), len(columns), 2).astype(np.float32)
    at_rows, at_columns = np.mgrid[: size[0], : size[1]].astype(np.float32) / 4
    return np.asarray(cv2.remap(coarse, at_columns, at_rows, cv2.INTER_LINEAR), np.float32)


def _spline_weights(
    points: Float[np.ndarray, "P 2"], values: Float[np.ndarray, "P 2"]
) -> Float[np.ndarray, "K 2"]:
    count = len(points)
    affine = np.column_stack([np.ones(count), points])
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _radial(points, points)
    system[:count, count:], system[count:, :count] = affine, affine.T
    # Least squares instead of an inverse: points on one line leave the affine part undecided.
    return np.asarray(np.linalg.lstsq(system, np.vstack([values, np.zeros((3, 2))]), rcond=None)[0])


def _radial(at: Float[np.ndarray, "Q 2"], points: Float[np.ndarray, "P 2"]) -> Float[np.ndarray, "Q P"]:
    squared = np.square(at[:, None] - points[None]).sum(-1)
    return np.asarray(squared * np.log(np.maximum(squared, 1e-9)))
