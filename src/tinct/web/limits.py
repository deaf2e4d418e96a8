"""How much a server takes."""

from __future__ import annotations

from dataclasses import dataclass

from tinct.errors import OptionError


@dataclass(frozen=True)
class Limits:
    """What is refused because it is too much.

    Attributes:
        upload_bytes: Of one upload, all its files together.
        frames: Of one video.
        pixels: Of one frame.
        body_bytes: Of any other body, such as a painted mask.
        frame_cache_bytes: Of the JPEGs that are kept in memory, all projects together.
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
