"""Dense CRF: all pairs of pixels are connected by place and colour (MaskTrack's option, 3.4).

Philipp Krähenbühl, Vladlen Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials", NIPS 2011. Pixels that are near and alike in colour (appearance kernel), or just near
(smoothness kernel), pay for different labels (eq. 3); the mean field is found by a few iterations of
message passing (algorithm 1). The authors' C++ code does this through pydensecrf2, an optional dependency,
in about a second for a frame of 854 × 480 and one object.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from tinct.errors import MissingExtraError, OptionError
from tinct.shapes import Image

LEAST_PROBABILITY = 1e-5
"""Minimum probability of every label in the unary term, so that neighbours can still change it."""


@dataclass(frozen=True)
class CrfOptions:
    """The kernels of eq. 3. MaskTrack gives no figures; these are DeepLabv2's on VGG-16, its network.

    Attributes:
        appearance_weight: w1, of the kernel of place and colour.
        appearance_px: θα, its spread in space.
        appearance_colour: θβ, its spread in colours of 0 to 255.
        smoothness_weight: w2, of the kernel of place alone.
        smoothness_px: θγ, its spread.
        rounds: Number of iterations of message passing.

    Raises:
        OptionError: A spread is not above 0, or another number is below 0.
    """

    appearance_weight: float = 4.0
    appearance_px: float = 65.0
    appearance_colour: float = 3.0
    smoothness_weight: float = 2.0
    smoothness_px: float = 2.0
    rounds: int = 10

    def __post_init__(self) -> None:
        spreads = (self.appearance_px, self.appearance_colour, self.smoothness_px)
        if min(spreads) <= 0 or min(self.appearance_weight, self.smoothness_weight, self.rounds) < 0:
            raise OptionError(
                f"A dense CRF with {self} came; the three spreads are above 0, weights and rounds not below."
            )


def check_dense_crf() -> None:
    """Check that the library is installed.

    Raises:
        OptionError: It is not; the message says how to install it.
    """
    _library()


def _library() -> Any:
    try:
        return importlib.import_module("pydensecrf.densecrf")
    except ImportError as missing:
        raise MissingExtraError(
            "Dense CRF needs the package pydensecrf2, which cannot be imported: pip install 'tinct[crf]' "
            "(Python 3.11 or 3.12, and a C++ compiler, since it is compiled), or leave crf=True out."
        ) from missing


def dense_crf(
    probs: Float[np.ndarray, "N H W"], frame: Image, options: CrfOptions | None = None
) -> Float[np.ndarray, "N H W"]:
    """Probabilities of objects after mean-field inference; the background is 1 minus their sum.

    Args:
        probs: float32, per object; their sum at a pixel is 1 at most.
        frame: uint8 RGB of the same size.
        options: The kernels.

    Raises:
        OptionError: The library is not installed.
    """
    library, options = _library(), options or CrfOptions()
    N, H, W = probs.shape
    if N == 0:
        return probs
    labels = np.concatenate([1 - probs.sum(0, keepdims=True), probs])
    energy = -np.log(np.clip(labels, LEAST_PROBABILITY, 1)).astype(np.float32)
    field = library.DenseCRF2D(W, H, N + 1)
    field.setUnaryEnergy(np.ascontiguousarray(energy.reshape(N + 1, -1)))
    field.addPairwiseGaussian(sxy=options.smoothness_px, compat=options.smoothness_weight)
    field.addPairwiseBilateral(
        sxy=options.appearance_px,
        srgb=options.appearance_colour,
        rgbim=np.ascontiguousarray(frame),
        compat=options.appearance_weight,
    )
    found = np.asarray(field.inference(options.rounds), np.float32).reshape(N + 1, H, W)
    return np.clip(found[1:], 0, 1)
