"""Mattes: a hard edge becomes the alpha that the frame's colours tell, in a band around it.

Two ways, of one model: within a small window, alpha is a linear function of the colour (Levin, Lischinski,
Weiss, "A closed-form solution to natural image matting", TPAMI 2008, eq. 6).

- `guided_alpha` fits that function to the mask once, in large windows: the guided filter with a colour
  guide (He, Sun, Tang, "Guided image filtering", TPAMI 2013, eq. 14, 15 and 8). Quick.
- `closed_form_alpha` solves for the alpha that is such a function in all 3 × 3 windows at once, is near to
  that of the guided filter, and is known outside the band. Slower, and better at hair and motion blur.

Both are written here, on OpenCV and numpy: OpenCV's own guided filter is in its extra modules alone, and
packages for closed-form matting bring a compiler of 200 MB that works for minutes before the first frame.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tinct.shapes import BinaryMask, Bool, Float, Float64, Image

GUIDED_EPSILON = 1e-4
"""Variance of colour (of 1) from which on something counts as an edge, for `guided_alpha`."""

CLOSED_FORM_EPSILON = 1e-5
"""The regularisation of `closed_form_alpha`, divided by a window's 9 pixels when used (section 4).

Ours: a hundred times that of the paper, which is for photos; below it, alpha shows the blocks of
compressed video.
"""

PRIOR = 0.2
"""What a departure from the start costs in `closed_form_alpha`, beside departures from the lines of colour.

Ours: without it, where an object has the colours of what is behind it, its edge goes anywhere in the band.
"""

TOLERANCE = 1e-3
"""Conjugate gradients end when the residual is this small beside the first one."""

MAX_STEPS = 1000
"""Conjugate gradients end after so many steps at the latest."""

_WINDOW = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
_NEIGHBOURS = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]


def edge_band(mask: BinaryMask, radius_px: int) -> Bool[np.ndarray, "H W"]:
    """The pixels within a distance of the mask's edge, where alpha is unknown: the grey part of a trimap."""
    side = 2 * radius_px + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    pixels = mask.view(np.uint8)
    return np.asarray(cv2.dilate(pixels, disk) > cv2.erode(pixels, disk))


def guided_alpha(
    frame: Image, start: Float[np.ndarray, "H W"], band: Bool[np.ndarray, "H W"], radius_px: int
) -> Float[np.ndarray, "H W"]:
    """Alpha in a band, by a guided filter; outside of it `start`, rounded.

    Args:
        frame: uint8 RGB [H, W, 3].
        start: The mask or its probabilities, float32 [H, W] in [0, 1].
        band: Where alpha is unknown, bool [H, W].
        radius_px: Half a window's side.
    """
    known = np.asarray(start > 0.5, np.float32)
    if not band.any():
        return known
    window = _box_of(band, 2 * radius_px + 1)
    found = _colour_guided(frame[window], start[window].astype(np.float32), radius_px)
    return _laid_in(known, window, band, found)


def _colour_guided(
    frame: Image, target: Float[np.ndarray, "H W"], radius_px: int
) -> Float[np.ndarray, "H W"]:
    """The guided filter, eq. 14 and 15, with the mean of the windows' lines (eq. 8).

    Ours: the filter has a say as far as its lines explain the mask (the share of the mask's variance in a
    window, R²). Where colours do not tell the object from what is behind it, the mask stays as it is.
    """
    side = 2 * radius_px + 1

    def mean(values: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    planes = [np.asarray(plane, np.float32) / 255 for plane in cv2.split(frame)]
    means, mean_target = [mean(plane) for plane in planes], mean(target)

    def covariance(i: int, j: int) -> Float[np.ndarray, "H W"]:
        found: Float[np.ndarray, "H W"] = mean(planes[i] * planes[j]) - means[i] * means[j]
        return found + np.float32(GUIDED_EPSILON) if i == j else found

    rr, rg, rb, gg, gb, bb = (covariance(i, j) for i in range(3) for j in range(i, 3))
    with_target = [mean(planes[i] * target) - means[i] * mean_target for i in range(3)]
    # The inverse of the symmetric 3 × 3 matrix is its adjugate over its determinant.
    adjugate = [
        [gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg],
        [rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb],
        [rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg],
    ]
    determinant = rr * adjugate[0][0] + rg * adjugate[0][1] + rb * adjugate[0][2]
    result, explained, offset = np.zeros_like(target), np.zeros_like(target), mean_target
    for i, row in enumerate(adjugate):
        slope = sum(row[j] * with_target[j] for j in range(3)) / determinant
        offset = offset - slope * means[i]
        explained += slope * with_target[i]
        result += mean(slope) * planes[i]
    variance = np.maximum(mean(target * target) - mean_target * mean_target, np.float32(GUIDED_EPSILON))
    say = mean(np.clip(explained / variance, 0, 1).astype(np.float32)).clip(0, 1)
    filtered = np.clip(result + mean(offset), 0, 1)
    return np.asarray(say * filtered + (1 - say) * target, np.float32)


def closed_form_alpha(
    frame: Image, start: Float[np.ndarray, "H W"], band: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"]:
    """Alpha in a band, by closed-form matting (conjugate gradients); outside of it `start`, rounded.

    Args:
        frame: uint8 RGB [H, W, 3].
        start: Where the search begins, float32 [H, W] in [0, 1].
        band: Where alpha is unknown, bool [H, W].
    """
    known = np.asarray(start > 0.5, np.float32)
    window = _box_of(band, 4)
    if not band.any() or min(start[window].shape) < 3:
        return known
    unknown = band[window]
    # A margin of zeros, so that every pixel has all neighbours; their weights are 0.
    values = np.pad(np.where(unknown, start[window], known[window]).astype(np.float64), 2)
    flat, width = values.reshape(-1), values.shape[1]
    places = np.flatnonzero(np.pad(unknown, 2))
    neighbours = places + np.array([dy * width + dx for dy, dx in _NEIGHBOURS])[:, None]
    weights = matting_laplacian(frame[window], unknown)

    def product(x: Float64[np.ndarray, "U"]) -> Float64[np.ndarray, "U"]:
        scratch[places] = x
        return np.asarray((weights * scratch[neighbours]).sum(axis=0))

    scratch = np.zeros_like(flat)
    residual = -(weights * flat[neighbours]).sum(axis=0)
    weights[len(_NEIGHBOURS) // 2] += PRIOR  # (L + PRIOR) (alpha - start) = -L start
    flat[places] += _conjugate_gradients(product, residual, weights[len(_NEIGHBOURS) // 2])
    return _laid_in(known, window, band, values[2:-2, 2:-2])


def matting_laplacian(frame: Image, rows: Bool[np.ndarray, "H W"]) -> Float64[np.ndarray, "25 U"]:
    """Rows of the matting Laplacian (Levin et al., eq. 12, for colour), of windows of 3 × 3 pixels.

    Args:
        frame: uint8 RGB [H, W, 3].
        rows: The pixels whose rows are wanted; U of them.

    Returns:
        For each of them the entries of its 5 × 5 neighbours, row by row; 0 for those outside the frame.
    """
    H, W = rows.shape
    near = cv2.dilate(rows.view(np.uint8), np.ones((3, 3), np.uint8))
    ys, xs = np.nonzero(near[1:-1, 1:-1])  # windows around these, shifted by one, lie in the frame
    ys, xs = ys + 1, xs + 1
    dy, dx = np.array(_WINDOW).T
    # In double precision: the variances of smooth places are differences of nearly equal numbers.
    colours = frame[ys[:, None] + dy, xs[:, None] + dx].astype(np.float64) / 255
    apart = colours - colours.mean(axis=1, keepdims=True)
    spread = apart.transpose(0, 2, 1) @ apart / 9 + CLOSED_FORM_EPSILON / 9 * np.eye(3)
    affinity = (1 + apart @ np.linalg.solve(spread, apart.transpose(0, 2, 1))) / 9
    entries = np.eye(9) - affinity
    number = np.full((H, W), -1)
    number[rows] = np.arange(int(rows.sum()))
    laplacian = np.zeros((len(_NEIGHBOURS), int(rows.sum())))
    for i, (y, x) in enumerate(_WINDOW):
        row = number[ys + y, xs + x]
        wanted = row >= 0
        for j, (other_y, other_x) in enumerate(_WINDOW):
            place = (other_y - y + 2) * 5 + other_x - x + 2
            laplacian[place, row[wanted]] += entries[wanted, i, j]
    return laplacian


def _conjugate_gradients(
    product: Callable[[Float64[np.ndarray, "U"]], Float64[np.ndarray, "U"]],
    target: Float64[np.ndarray, "U"],
    diagonal: Float64[np.ndarray, "U"],
) -> Float64[np.ndarray, "U"]:
    """The x of `product(x) = target`, scaled by the diagonal of the matrix (Jacobi)."""
    scale = 1 / np.maximum(diagonal, 1e-12)
    x, residual = np.zeros_like(target), target.copy()
    scaled = scale * residual
    direction, length = scaled, float(residual @ scaled)
    enough = length * TOLERANCE**2
    for _ in range(MAX_STEPS):
        if length <= enough or length == 0:
            break
        image = product(direction)
        step = length / float(direction @ image)
        x += step * direction
        residual -= step * image
        scaled = scale * residual
        before, length = length, float(residual @ scaled)
        direction = scaled + length / before * direction
    return x


def _box_of(band: Bool[np.ndarray, "H W"], margin_px: int) -> tuple[slice, slice]:
    """The rows and columns of the band, with a margin."""
    left, top, width, height = cv2.boundingRect(band.view(np.uint8))
    rows = slice(max(0, top - margin_px), top + height + margin_px)
    return rows, slice(max(0, left - margin_px), left + width + margin_px)


def _laid_in(
    known: Float[np.ndarray, "H W"],
    window: tuple[slice, slice],
    band: Bool[np.ndarray, "H W"],
    found: Float[np.ndarray, "h w"],
) -> Float[np.ndarray, "H W"]:
    """`known`, with what was found in the band."""
    alpha = known.copy()
    alpha[window] = np.where(band[window], found.clip(0, 1), known[window])
    return alpha
