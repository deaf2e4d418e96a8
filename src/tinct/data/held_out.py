"""Photos that no recipe may learn from, so that the occlusion benchmark can be made from them.

A photo is held out if the SHA-256 of "FOLDER/NAME" (the folder that holds `images`, and the file's name
without its ending) is 0 modulo `HELD_OUT_ONE_IN`. So the choice depends neither on where the photos
lie nor on which others lie there, and stays the same when photos are added. Of videos the benchmark
takes those of a list ("dev") that the training list ("fit") lacks.
"""

from __future__ import annotations

import hashlib

from tinct.data.static_images import Still

HELD_OUT_ONE_IN = 10
"""One photo in so many."""


def held_out(still: Still) -> bool:
    """Whether a still belongs to the benchmark: `StaticImages(root, without=held_out)` is for training."""
    name = f"{still.image.parent.parent.name}/{still.image.stem}"
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % HELD_OUT_ONE_IN == 0
