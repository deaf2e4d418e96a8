"""Which colours of a painted mask stand for objects, and which are blur and noise of edges.

An image is given as codes (one number per pixel) and the colour of each code, grey or RGB. Main colours
fill areas; an anti-aliased edge makes thin lines of colours between those of its two sides, and JPEG
makes noise near both.
"""

from __future__ import annotations

import cv2
import numpy as np

from tinct.shapes import Bool, Float32, Int64, UInt8

_NEAR = 32  # Two colours that differ by less (in every channel, of 255) are one colour with noise.
_MANY = 32  # Number of colours without any flat area from which on they are soft edges.
_FEW = 16  # Nearly flat colours are searched only in masks of fewer main colours, not in photos.


def stray_colours(
    codes: Int64[np.ndarray, "H W"], colours: UInt8[np.ndarray, "K C"], *, is_jpeg: bool
) -> Bool[np.ndarray, "K"]:
    """Flags of the stray colours: blends of their neighbours, or noise around a main colour."""
    flat = flat_colours(codes, len(colours))
    grey = colours.shape[1] == 1
    thin = int((~flat).sum())
    noisy_white = grey and colours[-1, 0] == 255 and bool(((colours >= 200) & (colours < 255)).any())
    noisy_colour = not grey and (len(colours) > 1024 or _nearest_gap(colours) <= 16)
    if is_jpeg or noisy_white or noisy_colour or thin >= _MANY or blends(codes, colours, flat).any():
        return ~_main_colours(codes, colours, flat)
    return np.zeros(len(colours), np.bool_)


def flat_colours(codes: Int64[np.ndarray, "H W"], number: int) -> Bool[np.ndarray, "K"]:
    """Flags of the colours that fill some block of 3×3 pixels; edges and noise seldom do."""
    H, W = codes.shape
    flat = np.zeros(number, np.bool_)
    if H >= 3 and W >= 3:
        centre = codes[1:-1, 1:-1]
        windows = (codes[y : H - 2 + y, x : W - 2 + x] == centre for y in range(3) for x in range(3))
        flat[centre[np.logical_and.reduce(list(windows))]] = True
    return flat


def _main_colours(
    codes: Int64[np.ndarray, "H W"], colours: UInt8[np.ndarray, "K C"], flat: Bool[np.ndarray, "K"]
) -> Bool[np.ndarray, "K"]:
    """Flags of the main colours, chosen by frequency, each far from those before it.

    They are the flat colours, and nearly flat ones (a small object in a JPEG has no exact colour) that are
    no mixture of two others.
    """
    table = colours.astype(np.float32)
    counts = np.bincount(codes.ravel(), minlength=len(colours))
    if not flat.any():
        flat = counts == counts.max()
    chosen: list[int] = []
    for code in _by_count(counts * flat):
        if not chosen or np.abs(table[chosen] - table[code]).max(axis=1).min() > _NEAR:
            chosen.append(int(code))
    support = np.bincount(codes[_nearly_flat(colours[codes])], minlength=len(colours))
    for code in _by_count(support)[:4096]:
        if len(chosen) > _FEW:
            break
        if np.abs(table[chosen] - table[code]).max(axis=1).min() > _NEAR and (
            support[np.abs(table - table[code]).max(axis=1) <= _NEAR].sum() >= 9
            and _distance_to_mixtures(table[code], table[chosen]) > _NEAR
        ):
            chosen.append(int(code))
    main = np.zeros(len(colours), np.bool_)
    main[chosen] = True
    return main


def _by_count(counts: Int64[np.ndarray, "K"]) -> Int64[np.ndarray, "M"]:
    """The codes that occur, the most common first."""
    order = np.argsort(-counts, kind="stable")
    return order[: np.count_nonzero(counts)]


def _nearly_flat(pixels: UInt8[np.ndarray, "H W C"]) -> Bool[np.ndarray, "H W"]:
    """The pixels whose 3×3 neighbourhood differs by 16 at most in every channel."""
    window = np.ones((3, 3), np.uint8)
    flat = np.ones(pixels.shape[:2], np.bool_)
    for channel in range(pixels.shape[2]):
        values = np.ascontiguousarray(pixels[..., channel])
        flat &= cv2.dilate(values, window) - cv2.erode(values, window) <= 16
    return flat


def _distance_to_mixtures(
    colour: Float32[np.ndarray, "C"], main_colours: Float32[np.ndarray, "M C"]
) -> float:
    """Distance of a colour from the nearest mixture of two main colours (largest channel difference)."""
    starts, ends = main_colours[:, None], main_colours[None]
    along = ends - starts
    share = ((colour - starts) * along).sum(axis=2) / np.maximum((along**2).sum(axis=2), 1)
    mixtures = starts + share.clip(0, 1)[..., None] * along
    return float(np.abs(mixtures - colour).max(axis=2).min())


def _nearest_gap(colours: UInt8[np.ndarray, "K C"]) -> int:
    """The smallest difference between two colours: the largest of the channels' differences."""
    table = colours.astype(np.int16)
    gaps = [int(np.abs(table[i + 1 :] - table[i]).max(axis=1).min()) for i in range(len(table) - 1)]
    return min(gaps, default=255)


def blends(
    codes: Int64[np.ndarray, "H W"], colours: UInt8[np.ndarray, "K C"], flat: Bool[np.ndarray, "K"]
) -> Bool[np.ndarray, "K"]:
    """Flags of the colours without a flat area that lie, in place and colour, between two that have one."""
    pixels, solid = colours[codes], flat[codes]
    window = np.ones((5, 5), np.uint8)
    inside = ~solid
    contrast = np.zeros(codes.shape, np.bool_)
    for channel in range(colours.shape[1]):
        values = np.ascontiguousarray(pixels[..., channel])
        low = cv2.erode(np.where(solid, values, np.uint8(255)), window)
        high = cv2.dilate(np.where(solid, values, np.uint8(0)), window)
        inside &= (low <= values) & (values <= high)
        contrast |= (low < values) & (values < high) & (high - low.astype(np.int16) >= 16)
    blended = np.bincount(codes[inside & contrast], minlength=len(colours))
    return ~flat & (blended > 0.7 * np.bincount(codes.ravel(), minlength=len(colours)))


def snap_strays(
    codes: Int64[np.ndarray, "H W"], colours: UInt8[np.ndarray, "K C"], stray: Bool[np.ndarray, "K"]
) -> Int64[np.ndarray, "H W"]:
    """Replace every stray pixel by a main colour.

    It is the nearest in colour of those within 3 pixels, or of all if there is none.
    """
    wanted = stray[codes]
    pixels = colours[codes[wanted]].astype(np.float32)
    best_cost = np.full(len(pixels), np.inf, np.float32)
    best = np.zeros(len(pixels), np.int64)
    for code in np.flatnonzero(~stray):
        near = cv2.dilate((codes == code).astype(np.uint8), np.ones((7, 7), np.uint8))[wanted] > 0
        cost = np.linalg.norm(pixels - colours[code], axis=1) + np.where(near, 0, 1000)
        better = cost < best_cost
        best[better], best_cost[better] = code, cost[better]
    snapped = codes.copy()
    snapped[wanted] = best
    return snapped
