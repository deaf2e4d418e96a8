"""Renders occlusion clips frame by frame: a background under a moving camera, and the objects over it."""

from __future__ import annotations

import cv2
import numpy as np

from tinct.data.occlusion.objects import Cutout
from tinct.data.occlusion.plan import ClipPlan, ObjectTrajectory, TrajectorySegment
from tinct.data.synthetic import Layer, Random, affine
from tinct.shapes import Float, UInt8

OVERSCAN = 1.16
"""A background is larger than the frame by this, so that the camera never sees its border."""

GRAIN = 2.0
"""Standard deviation of the noise that stands for a camera's grain, in steps of 255."""


def back_to_front(plan: ClipPlan, t: int) -> list[ObjectTrajectory]:
    """The trajectories, sorted by depth in frame t from back to front."""
    return sorted(plan.trajectories, key=lambda trajectory: float(trajectory.segment(t).depth[t]))


def render_background(plan: ClipPlan, t: int, size: tuple[int, int]) -> Layer:
    """The background in frame t."""
    source = plan.picture.shape[0], plan.picture.shape[1]
    world = affine(source, size, scale=OVERSCAN, turn_degrees=0.0, shift=(0.0, 0.0))
    matrix = world @ _screen_to_scene(plan, t, size)
    image = cv2.warpAffine(
        plan.picture, matrix, size[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    full = np.full((1, *size), 255, np.uint8)
    return Layer(np.asarray(image, np.uint8)[None], np.zeros_like(full), full)


def render_object(plan: ClipPlan, trajectory: ObjectTrajectory, t: int, size: tuple[int, int]) -> Layer:
    """One object in frame t, on an empty layer of size (H, W)."""
    H, W = size
    images, labels, alphas = (np.zeros((1, H, W, *c), np.uint8) for c in ((3,), (), ()))
    segment = trajectory.segment(t)
    cutout, zoom = segment.cutout(t), segment.zoom(t, H) * plan.camera[t, 0]
    # Far smaller than the picture, pixels are averaged, or edges and textures would flicker.
    shrink = min(1.0, max(zoom, 0.1))
    image, alpha = (_shrink(picture, shrink) for picture in (cutout.image, cutout.alpha))
    placement = _placement(segment, t, (alpha.shape[0], alpha.shape[1]), size, cutout.alpha.shape[0])
    matrix = placement @ _screen_to_scene(plan, t, size)
    box = _visible_box(matrix, alpha.shape[:2], size)
    if box is not None:
        sampling = _sampling_map(segment, t, plan.frames, matrix, box, alpha.shape[:2])
        images[0][box] = cv2.remap(image, sampling, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alphas[0][box] = cv2.remap(alpha, sampling, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        labels[0][alphas[0] > 127] = trajectory.object_id
    return Layer(images, labels, alphas)


def _shrink(picture: UInt8[np.ndarray, "..."], factor: float) -> UInt8[np.ndarray, "..."]:
    if factor == 1.0:
        return picture
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _placement(
    segment: TrajectorySegment, t: int, source: tuple[int, int], size: tuple[int, int], rows: int
) -> Float[np.ndarray, "2 3"]:
    """Affine matrix from scene pixels to those of a picture that was resized from `rows` rows to `source`."""
    H, W = size
    zoom = segment.zoom(t, H)
    centre = float(segment.bottom[t]) - zoom * (rows / 2 - Cutout.MARGIN) / H
    fit = min(H / source[0], W / source[1])
    return affine(
        source, size, scale=zoom * rows / source[0] / fit, turn_degrees=float(segment.turn_degrees[t]),
        shift=(float(segment.x[t]) - 0.5, centre - 0.5), mirrored=segment.mirrored, covering=False,
    )  # fmt: skip


def _screen_to_scene(plan: ClipPlan, t: int, size: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """Matrix from the pixels of frame t to those of the scene: the inverse of the camera's zoom and shift."""
    zoom, *shift = plan.camera[t]
    matrix = np.eye(3)
    for axis, side in enumerate(size[::-1]):
        centre = (side - 1) / 2
        matrix[axis, axis] = 1 / zoom
        matrix[axis, 2] = centre - (centre + shift[axis] * side) / zoom
    return matrix


def _visible_box(
    matrix: Float[np.ndarray, "2 3"], source: tuple[int, ...], size: tuple[int, int]
) -> tuple[slice, slice] | None:
    """The box of a frame that a picture covers, with room for its bends; None if it is outside."""
    rows, columns = source
    # A tenth more on every side: bends reach beyond the picture's border.
    x, y = 0.1 * columns, 0.1 * rows
    corners = np.array([[-x, -y], [columns + x, -y], [-x, rows + y], [columns + x, rows + y]])
    seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    (x0, y0), (x1, y1) = np.floor(seen.min(0)).astype(int), np.ceil(seen.max(0)).astype(int) + 1
    rows_seen, columns_seen = slice(max(0, y0), min(size[0], y1)), slice(max(0, x0), min(size[1], x1))
    if rows_seen.start >= rows_seen.stop or columns_seen.start >= columns_seen.stop:
        return None
    return rows_seen, columns_seen


def _sampling_map(
    segment: TrajectorySegment,
    t: int,
    frames: int,
    matrix: Float[np.ndarray, "2 3"],
    box: tuple[slice, slice],
    source: tuple[int, ...],
) -> Float[np.ndarray, "h w 2"]:
    """For every pixel of a box of the frame, the (x, y) of the picture that it shows."""
    y, x = np.mgrid[box].astype(np.float32)
    linear = matrix.astype(np.float32)
    at = np.stack([linear[k, 0] * x + linear[k, 1] * y + linear[k, 2] for k in range(2)], -1)
    share = t / max(1, frames - 1)
    bend = ((1 - share) * segment.bends[0] + share * segment.bends[1]).astype(np.float32)
    sides = np.array(source[::-1], np.float32)
    grid = at / sides * bend.shape[0] - 0.5
    moved = cv2.remap(bend, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(at + moved * sides)


def add_blur_and_grain(images: UInt8[np.ndarray, "T H W 3"], random: Random) -> UInt8[np.ndarray, "T H W 3"]:
    """One slight blur and grain over whole frames, so that objects and background look like one recording."""
    changed = np.empty_like(images)
    for t, image in enumerate(images):
        soft = cv2.GaussianBlur(image, (3, 3), 0.6).astype(np.float32)
        grain = GRAIN * random.standard_normal(image.shape[:2], np.float32)
        changed[t] = np.clip(soft + grain[..., None] + 0.5, 0, 255)
    return changed
