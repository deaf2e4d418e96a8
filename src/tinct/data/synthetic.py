"""Clips composed of layers: a moving background, and objects that move over it and occlude each other.

A `Layer` is an image and label map per frame. `move_each` animates a layer (affine and thin-plate),
`cut_out` cuts an object out of a picture, and `compose` stacks layers from back to front. So a photo
becomes a clip, and an object crosses a real clip.

Why not torchvision's paired transforms: each layer has its own motion that drifts from frame to frame, so
there is one sampling map per layer and frame. Those transforms apply one map to a
whole sample and draw it from torch's global generator, while a clip must be a function of its seed
and index alone; and `cv2.remap` samples uint8 images several times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tinct.shapes import VOID, Float, Image, LabelMap, UInt8, holds_arrays

Random = np.random.Generator

SamplingMap = Float[np.ndarray, "h w 2"]
"""For every target pixel the (x, y) in source pixels that it shows; pixel centres are whole numbers."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class Layer:
    """The frames of one background or object.

    Attributes:
        images: uint8 [T, H, W, 3].
        labels: uint8 [T, H, W]: ids of the layer's own objects, 255 void.
        alphas: uint8 [T, H, W]: 255 where the layer covers those behind it.
    """

    images: UInt8[np.ndarray, "T H W 3"]
    labels: UInt8[np.ndarray, "T H W"]
    alphas: UInt8[np.ndarray, "T H W"]


@dataclass(frozen=True)
class Motion:
    """Ranges of a random motion: the pose in the clip, and the change from frame to frame.

    Attributes:
        scale: Range of the size, relative to the frame.
        turn_degrees: Largest rotation of the whole clip.
        shift: Largest offset of the whole clip, as a fraction of the frame's size.
        step_scale, step_turn_degrees, step_shift: Standard deviations of the change from frame to frame.
        bend: Standard deviation of the thin-plate displacement, as a fraction of the frame's size.
        flip: Whether the clip may be mirrored.
        covering: Whether scale 1 covers the frame, or fits into it.
        blank_rim: What a picture leaves free of the frame shows nothing and is void, as if the picture had
            only been rescaled; else it shows the picture's mirror image, with its labels.
    """

    scale: tuple[float, float] = (1.0, 1.5)
    turn_degrees: float = 10.0
    shift: float = 0.1
    step_scale: float = 0.03
    step_turn_degrees: float = 3.0
    step_shift: float = 0.03
    bend: float = 0.01
    flip: bool = True
    covering: bool = True
    blank_rim: bool = False


def affine(
    source_size: tuple[int, int],
    target_size: tuple[int, int],
    *,
    scale: float,
    turn_degrees: float,
    shift: tuple[float, float],
    mirrored: bool = False,
    covering: bool = True,
) -> Float[np.ndarray, "2 3"]:
    """The affine matrix from target pixels to source pixels.

    At scale 1 the source just covers the target (`covering`) or just fits into it, centre on centre.
    `shift` is the motion of the content right and down, (dx, dy) as a fraction of the target's (width,
    height).
    """
    (source_h, source_w), (target_h, target_w) = source_size, target_size
    ratios = (target_h / source_h, target_w / source_w)
    zoom = 1.0 / (scale * (max(ratios) if covering else min(ratios)))
    angle = np.deg2rad(turn_degrees)
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    linear = np.array([[cosine, sine], [-sine, cosine]])
    if mirrored:
        linear[0] *= -1
    centre = np.array([(target_w - 1) / 2 + shift[0] * target_w, (target_h - 1) / 2 + shift[1] * target_h])
    offset = np.array([(source_w - 1) / 2, (source_h - 1) / 2]) - linear @ centre
    return np.column_stack([linear, offset])


def draw_motion(
    random: Random,
    times: list[float],
    motion: Motion,
    source_size: tuple[int, int],
    target_size: tuple[int, int],
) -> list[SamplingMap]:
    """Sample a motion: one sampling map (target pixel → source pixel, x then y) per time.

    Scale, rotation and shift drift at constant velocity with a little noise; a thin-plate field changes
    over time.

    Args:
        random: The source of randomness.
        times: The time of each frame, in units of `motion`'s steps.
        motion: The ranges of the motion.
        source_size: (H, W) of the source.
        target_size: (H, W) of the clip.
    """
    scale = float(np.exp(random.uniform(*np.log(motion.scale))))
    turn = random.uniform(-1, 1) * motion.turn_degrees
    shift = random.uniform(-1, 1, 2) * motion.shift
    spread = np.array([motion.step_scale, motion.step_turn_degrees, motion.step_shift, motion.step_shift])
    velocity = random.normal(size=4) * spread
    mirrored = motion.flip and random.random() < 0.5
    bend_from, bend_to = (bend_field(random, motion.bend, target_size) for _ in range(2))
    maps = []
    for time in times:
        drift = velocity * time + 0.3 * spread * random.normal(size=4)
        matrix = affine(
            source_size,
            target_size,
            scale=scale * float(np.exp(np.clip(drift[0], -0.7, 0.7))),
            turn_degrees=turn + drift[1],
            shift=(shift[0] + drift[2], shift[1] + drift[3]),
            mirrored=mirrored,
            covering=motion.covering,
        )
        share = (time - times[0]) / max(1.0, abs(times[-1] - times[0]))
        maps.append(_sampling_map(matrix, bend_from + share * (bend_to - bend_from), target_size))
    return maps


def bend_field(random: Random, spread: float, size: tuple[int, int]) -> SamplingMap:
    """A smooth displacement field in pixels: random at 4×4 control points, bicubic in between.

    Bicubic interpolation of a coarse grid replaces a thin-plate spline: as smooth, and a hundred times
    faster.
    """
    control = random.normal(0.0, spread * max(size), (4, 4, 2)).astype(np.float32)
    return np.asarray(cv2.resize(control, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _sampling_map(matrix: Float[np.ndarray, "2 3"], bend: SamplingMap, size: tuple[int, int]) -> SamplingMap:
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    x, y = columns + bend[..., 0], rows + bend[..., 1]
    linear = matrix.astype(np.float32)
    return np.stack(
        [
            linear[0, 0] * x + linear[0, 1] * y + linear[0, 2],
            linear[1, 0] * x + linear[1, 1] * y + linear[1, 2],
        ],
        axis=-1,
    )


BLANK = (124, 116, 104)
"""ImageNet's mean colour, which a network normalises to 0: what its layers see beyond a picture's border."""


def move_each(
    images: list[Image],
    labels: list[LabelMap],
    alphas: list[LabelMap] | None,
    maps: list[SamplingMap],
    *,
    blank_rim: bool = False,
) -> Layer:
    """Animate a layer: frame t is sampled by map t.

    Args:
        images: uint8 RGB frames, all of one size; a photo is repeated.
        labels: Their label maps, sampled at the nearest pixel.
        alphas: Their opacities; None for a background, which covers everything, and is mirrored at its
            border with its labels.
        maps: From `draw_motion`.
        blank_rim: A background shows `BLANK` beyond its border, and is void there.
    """
    assert alphas is None or not blank_rim
    border = cv2.BORDER_REFLECT_101 if alphas is None and not blank_rim else cv2.BORDER_CONSTANT
    image_border, void = (cv2.BORDER_CONSTANT, VOID) if blank_rim else (cv2.BORDER_REFLECT_101, 0)
    moved_images = [
        _remap(i, m, cv2.INTER_LINEAR, image_border, BLANK) for i, m in zip(images, maps, strict=True)
    ]
    moved_labels = [
        _remap(y, m, cv2.INTER_NEAREST, border, (void,) * 3) for y, m in zip(labels, maps, strict=True)
    ]
    if alphas is None:
        moved_alphas = [np.full(y.shape, 255, np.uint8) for y in moved_labels]
    else:
        moved_alphas = [_remap(a, m, cv2.INTER_LINEAR, border) for a, m in zip(alphas, maps, strict=True)]
    return Layer(np.stack(moved_images), np.stack(moved_labels), np.stack(moved_alphas))


def _remap(
    picture: UInt8[np.ndarray, "..."],
    sampling: SamplingMap,
    interpolation: int,
    border: int,
    value: tuple[int, int, int] = (0, 0, 0),
) -> UInt8[np.ndarray, "..."]:
    return np.asarray(
        cv2.remap(picture, sampling, None, interpolation, borderMode=border, borderValue=value), np.uint8
    )


def cut_out(labels: LabelMap, object_id: int) -> tuple[LabelMap, LabelMap]:
    """Cut out one object of a picture: its label map (id 1) and its alpha, soft at the edge."""
    mask = (labels == object_id).astype(np.uint8)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8)) * 255
    return mask, np.asarray(cv2.GaussianBlur(inner, (3, 3), 0), np.uint8)


def compose(
    layers: list[Layer], *, keep_ids: bool = False
) -> tuple[UInt8[np.ndarray, "T H W 3"], UInt8[np.ndarray, "T H W"]]:
    """Stack layers from back to front.

    Args:
        layers: From back to front.
        keep_ids: Whether the ids of the layers are those of the clip; an object may then be in several.

    Returns:
        Images, and label maps in which, unless `keep_ids`, the objects of all layers are numbered from 1 in
        the order of the layers. Void stays void where no layer covers it.
    """
    back, *front = layers
    images, labels = back.images.astype(np.float32), back.labels.copy()
    for layer in front:
        box = _bounding_box(layer.alphas)
        opacity = layer.alphas[box][..., None].astype(np.float32) / 255
        images[box] += opacity * (layer.images[box] - images[box])
        offset = 0 if keep_ids else int(labels[labels != VOID].max(initial=0))
        covered, own = layer.alphas[box] > 127, layer.labels[box]
        ids = np.where(own == VOID, VOID, np.where(own > 0, own + offset, 0))
        labels[box][covered] = ids[covered]
    return np.clip(images + 0.5, 0, 255).astype(np.uint8), labels


def _bounding_box(alphas: UInt8[np.ndarray, "T H W"]) -> tuple[slice, slice, slice]:
    """The bounding box of a layer over all frames."""
    reached = alphas.max(0)
    rows, columns = np.flatnonzero(reached.any(1)), np.flatnonzero(reached.any(0))
    if len(rows) == 0:
        return np.s_[:, :0, :0]
    return np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
