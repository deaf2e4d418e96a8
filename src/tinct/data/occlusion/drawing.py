"""Draws occlusion clips: a background under a camera, and the players over it, frame by frame."""

from __future__ import annotations

import cv2
import numpy as np

from tinct.data.occlusion.objects import Cut
from tinct.data.occlusion.plan import Plan, Player, Take
from tinct.data.synthetic import Layer, Random, affine
from tinct.shapes import Float, UInt8

OVERSCAN = 1.16
"""A background is larger than the frame by this, so that the camera never sees its border."""

GRAIN = 2.0
"""Spread of a film's grain, in steps of 255."""


def ordered(plan: Plan, t: int) -> list[Player]:
    """The players of frame t from the back to the front."""
    return sorted(plan.players, key=lambda player: float(player.take(t).depth[t]))


def background(plan: Plan, t: int, size: tuple[int, int]) -> Layer:
    """The background in frame t."""
    source = plan.picture.shape[0], plan.picture.shape[1]
    world = affine(source, size, scale=OVERSCAN, turn_degrees=0.0, shift=(0.0, 0.0))
    matrix = world @ _from_screen(plan, t, size)
    image = cv2.warpAffine(
        plan.picture, matrix, size[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    full = np.full((1, *size), 255, np.uint8)
    return Layer(np.asarray(image, np.uint8)[None], np.zeros_like(full), full)


def drawn(plan: Plan, player: Player, t: int, size: tuple[int, int]) -> Layer:
    """A player in frame t, on an empty layer of size (H, W)."""
    H, W = size
    images, labels, alphas = (np.zeros((1, H, W, *c), np.uint8) for c in ((3,), (), ()))
    take = player.take(t)
    cut, zoom = take.cut(t), take.zoom(t, H) * plan.camera[t, 0]
    # Far smaller than the picture, pixels are averaged, or edges and textures would flicker.
    shrink = min(1.0, max(zoom, 0.1))
    image, alpha = (_shrunk(picture, shrink) for picture in (cut.image, cut.alpha))
    placed = _placed(take, t, (alpha.shape[0], alpha.shape[1]), size, cut.alpha.shape[0])
    matrix = placed @ _from_screen(plan, t, size)
    box = _reached(matrix, alpha.shape[:2], size)
    if box is not None:
        sampling = _sampling(take, t, plan.frames, matrix, box, alpha.shape[:2])
        images[0][box] = cv2.remap(image, sampling, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alphas[0][box] = cv2.remap(alpha, sampling, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        labels[0][alphas[0] > 127] = player.object_id
    return Layer(images, labels, alphas)


def _shrunk(picture: UInt8[np.ndarray, "..."], factor: float) -> UInt8[np.ndarray, "..."]:
    if factor == 1.0:
        return picture
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _placed(
    take: Take, t: int, source: tuple[int, int], size: tuple[int, int], rows: int
) -> Float[np.ndarray, "2 3"]:
    """From the pixels of the scene to those of a picture that was brought from `rows` rows to `source`."""
    H, W = size
    zoom = take.zoom(t, H)
    centre = float(take.bottom[t]) - zoom * (rows / 2 - Cut.MARGIN) / H
    fit = min(H / source[0], W / source[1])
    return affine(
        source, size, scale=zoom * rows / source[0] / fit, turn_degrees=float(take.turn_degrees[t]),
        shift=(float(take.x[t]) - 0.5, centre - 0.5), mirrored=take.mirrored, covering=False,
    )  # fmt: skip


def _from_screen(plan: Plan, t: int, size: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
    """From the pixels of frame t to those of the scene: the camera's zoom and shift, undone."""
    zoom, *shift = plan.camera[t]
    matrix = np.eye(3)
    for axis, side in enumerate(size[::-1]):
        centre = (side - 1) / 2
        matrix[axis, axis] = 1 / zoom
        matrix[axis, 2] = centre - (centre + shift[axis] * side) / zoom
    return matrix


def _reached(
    matrix: Float[np.ndarray, "2 3"], source: tuple[int, ...], size: tuple[int, int]
) -> tuple[slice, slice] | None:
    """The part of a frame onto which a picture falls, with room for its bends; None if there is none."""
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


def _sampling(
    take: Take,
    t: int,
    frames: int,
    matrix: Float[np.ndarray, "2 3"],
    box: tuple[slice, slice],
    source: tuple[int, ...],
) -> Float[np.ndarray, "h w 2"]:
    """For every pixel of a box of the frame the (x, y) of the picture that it shows."""
    y, x = np.mgrid[box].astype(np.float32)
    linear = matrix.astype(np.float32)
    at = np.stack([linear[k, 0] * x + linear[k, 1] * y + linear[k, 2] for k in range(2)], -1)
    share = t / max(1, frames - 1)
    bend = ((1 - share) * take.bends[0] + share * take.bends[1]).astype(np.float32)
    sides = np.array(source[::-1], np.float32)
    grid = at / sides * bend.shape[0] - 0.5
    moved = cv2.remap(bend, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(at + moved * sides)


def filmed(images: UInt8[np.ndarray, "T H W 3"], random: Random) -> UInt8[np.ndarray, "T H W 3"]:
    """Through one lens: the same slight blur and grain over everything, which joins it."""
    changed = np.empty_like(images)
    for t, image in enumerate(images):
        soft = cv2.GaussianBlur(image, (3, 3), 0.6).astype(np.float32)
        grain = GRAIN * random.standard_normal(image.shape[:2], np.float32)
        changed[t] = np.clip(soft + grain[..., None] + 0.5, 0, 255)
    return changed
