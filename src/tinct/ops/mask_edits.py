"""Edits of one object's mask: holes, specks, and an edge that is smoothed, moved, feathered or steadied.

Each is a function of arrays alone. A hard mask is bool [H, W]; an alpha is float32 [H, W] in [0, 1], and its
edge is where it crosses a half.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tinct.shapes import BinaryMask, Bool, Float

CHATTER_PX = 4.0
"""Edges further apart than this in neighbouring frames vote, those nearer are averaged."""


def fill_holes(mask: BinaryMask, max_px: int) -> BinaryMask:
    """Fill the holes of up to `max_px` pixels; what touches the frame's border is no hole.

    Args:
        mask: bool [H, W].
        max_px: The largest area to fill, in pixels; 0 changes nothing.
    """
    if max_px <= 0 or not mask.any():
        return mask
    count, parts, stats, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    holes = stats[:, cv2.CC_STAT_AREA] <= max_px
    rim = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    holes[np.unique(rim)] = False
    holes[0] = False
    return np.asarray(mask | holes[parts]) if count > 1 else mask


def remove_specks(mask: BinaryMask, max_px: int) -> BinaryMask:
    """Remove the parts of up to `max_px` pixels, except the largest part: a far-away object is no speck.

    Args:
        mask: bool [H, W].
        max_px: The largest area to remove, in pixels; 0 changes nothing.
    """
    if max_px <= 0 or not mask.any():
        return mask
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    stays = areas > max_px
    stays[1 + int(areas[1:].argmax())] = True
    stays[0] = False
    return np.asarray(stays[parts])


def smooth(mask: BinaryMask, sigma_px: float | int) -> BinaryMask:
    """Round off the edge: where the mask, blurred by a Gaussian, is above a half.

    Args:
        mask: bool [H, W].
        sigma_px: Standard deviation of the Gaussian; details below about twice of it go. 0 changes nothing.
    """
    if sigma_px <= 0:
        return mask
    # The frame's border is no edge: the mask goes on behind it.
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred > 0.5)


def grow(alpha: Float[np.ndarray, "H W"], by_px: int) -> Float[np.ndarray, "H W"]:
    """Move the edge outward, or inward for a negative number, by a disk; the frame's border is no edge.

    Args:
        alpha: float32 [H, W].
        by_px: Radius of the disk in pixels; 0 changes nothing.
    """
    if by_px == 0:
        return alpha
    radius = abs(by_px)
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (rows**2 + columns**2 <= radius**2).astype(np.uint8)
    return np.asarray((cv2.dilate if by_px > 0 else cv2.erode)(alpha, disk), np.float32)


def signed_distance_px(mask: BinaryMask) -> Float[np.ndarray, "H W"]:
    """Distance of each pixel's centre from the edge, positive inside; ±inf without an edge.

    Next to a straight edge it is ±0.5, so its sign is the mask.
    """
    if mask.all() or not mask.any():
        return np.full(mask.shape, np.inf if mask.any() else -np.inf, np.float32)
    inside = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.where(mask, inside - np.float32(0.5), np.float32(0.5) - outside), np.float32)


def feather(alpha: Float[np.ndarray, "H W"], radius_px: float | int) -> Float[np.ndarray, "H W"]:
    """Soften the edge by a straight ramp; the edge itself, where alpha crosses a half, stays where it is.

    Outside the edge alpha can only rise, inside it can only fall: softer parts, such as hair, stay.

    Args:
        alpha: float32 [H, W].
        radius_px: How far the ramp reaches to either side; 0 changes nothing.
    """
    if radius_px <= 0:
        return alpha
    inside = alpha > 0.5
    ramp = np.clip(0.5 + signed_distance_px(inside) / np.float32(2 * radius_px), 0, 1)
    return np.asarray(np.where(inside, np.minimum(alpha, ramp), np.maximum(alpha, ramp)), np.float32)


def steady(masks: Sequence[BinaryMask]) -> BinaryMask:
    """The middle one of consecutive masks, without the chatter of its edge.

    The others are shifted to where the middle one is, and all signed distances, cut off at ±`CHATTER_PX`, are
    averaged. An edge that moves evenly stays where it is in the middle frame, a mask that stands still stays
    exactly, and what a single frame shows is voted down.

    Args:
        masks: An odd number of bool [H, W], in the order of frames. Frames equally far before and after the
            middle are left out together if either mask is of another shape, or empty.
    """
    middle = len(masks) // 2
    mask = masks[middle]
    total = _cut_distance(mask)
    for step in range(1, middle + 1):
        pair = [_shifted_to(mask, masks[middle - step]), _shifted_to(mask, masks[middle + step])]
        if all(2 * (each & mask).sum() > (each | mask).sum() for each in pair):
            total += sum(_cut_distance(each) for each in pair)
    return np.asarray(total > 0)


def _shifted_to(mask: BinaryMask, other: BinaryMask) -> BinaryMask:
    """`other` as it is, or with its centre moved to that of `mask` if it overlaps more of it then."""
    (x, y), (other_x, other_y) = _centre(mask), _centre(other)
    shift = np.array([[1, 0, round(x - other_x)], [0, 1, round(y - other_y)]], np.float32)
    size = (mask.shape[1], mask.shape[0])
    # The frame's border is no edge: a mask that ends there goes on behind it.
    moved = cv2.warpAffine(
        other.view(np.uint8), shift, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    shifted = np.asarray(moved, bool)
    return shifted if (shifted & mask).sum() > (other & mask).sum() else other


def _centre(mask: BinaryMask) -> tuple[float, float]:
    """(x, y) of the mask's centre of mass; (0, 0) if it is empty."""
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    area = max(moments["m00"], 1)
    return moments["m10"] / area, moments["m01"] / area


def _cut_distance(mask: BinaryMask) -> Float[np.ndarray, "H W"]:
    return np.asarray(np.clip(signed_distance_px(mask), -CHATTER_PX, CHATTER_PX), np.float32)


def keep_apart(
    alphas: Float[np.ndarray, "N H W"], owners: Bool[np.ndarray, "N H W"]
) -> Float[np.ndarray, "N H W"]:
    """Alphas that fit together, their sum nowhere above 1.

    A pixel's owner has what it wants, and the others share the rest. On a pixel without an owner they share
    what the largest of them wants: beside two objects that touch, the edge is that of both together.

    Args:
        alphas: float32 [N, H, W] in [0, 1].
        owners: bool [N, H, W], at most one object per pixel: whose the pixel was before the edits.
    """
    others = alphas * ~owners
    wanted = others.sum(axis=0)
    owned = (alphas * owners).sum(axis=0)
    room = np.where(owners.any(axis=0), 1 - owned, others.max(axis=0, initial=0))
    share = np.minimum(1, room / np.maximum(wanted, np.float32(1e-6)))
    return np.asarray(np.where(owners, alphas, others * share), np.float32)
