"""Photos that are held out of training for the occlusion benchmark.

A photo is held out if the SHA-256 of "FOLDER/NAME" (the folder that holds `images`, and the file's name
without suffix) is 0 modulo `HELD_OUT_ONE_IN`. So the choice depends neither on the path of the photos nor
on the other photos. The videos of the benchmark are those of a list ("dev") that is disjoint from the
training list ("fit").
"""

from __future__ import annotations

import hashlib

from tinct.data.static_images import Photo

HELD_OUT_ONE_IN = 10
"""One photo in this number is held out."""


def held_out(still: Photo) -> bool:
    """Whether a still is held out; train on `StaticImages(root, without=held_out)`."""
    name = f"{still.image.parent.parent.name}/{still.image.stem}"
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % HELD_OUT_ONE_IN == 0
