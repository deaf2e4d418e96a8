"""Limits of a server."""

from __future__ import annotations

from dataclasses import dataclass

from tinct.errors import OptionError


@dataclass(frozen=True)
class Limits:
    """Maximum sizes that a server accepts.

    Attributes:
        upload_bytes: Size of one upload, with all its files.
        frames: Number of frames of one video.
        pixels: Number of pixels of one frame.
        body_bytes: Size of any other body, such as a mask.
        frame_cache_bytes: Size of the JPEGs cached in memory, for all projects.
    """

    upload_bytes: int = 4 * 2**30
    frames: int = 100_000
    pixels: int = 40_000_000
    body_bytes: int = 64 * 2**20
    frame_cache_bytes: int = 192 * 2**20

    def __post_init__(self) -> None:
        for name in ("upload_bytes", "frames", "pixels", "body_bytes"):
            if getattr(self, name) < 1:
                raise OptionError(f"The limit {name} is {getattr(self, name)}; expected 1 or more.")


def in_units(count: int | float) -> str:
    """A number of bytes for people, such as 4.0 GB."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
