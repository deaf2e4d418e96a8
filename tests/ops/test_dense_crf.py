"""Dense CRF: an exact mean field as the library's twin; the wrapper with and without the library."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.ops.dense_crf import CrfOptions, check_dense_crf, dense_crf

H, W = 11, 14


def message(features: np.ndarray, weight: float) -> np.ndarray:
    """The kernel between all pairs of pixels, normalised on both sides, times its weight."""
    squared = np.square(features[:, None] - features[None]).sum(-1)
    kernel = np.exp(-squared / 2)
    norm = 1 / np.sqrt(kernel.sum(1))
    return np.asarray(weight * norm[:, None] * kernel * norm)


class ExactCrf:
    """The interface of the library's `DenseCRF2D`, computed pixel against pixel."""

    def __init__(self, width: int, height: int, labels: int) -> None:
        self.labels, self.kernels = labels, []
        rows, columns = np.mgrid[:height, :width]
        self.places = np.stack([columns.ravel(), rows.ravel()], 1).astype(float)

    def setUnaryEnergy(self, energy: np.ndarray) -> None:  # noqa: N802 (the library's name)
        assert energy.dtype == np.float32
        assert energy.shape == (self.labels, len(self.places))
        self.energy = energy.astype(float)

    def addPairwiseGaussian(self, sxy: float, compat: float) -> None:  # noqa: N802
        self.kernels.append(message(self.places / sxy, compat))

    def addPairwiseBilateral(  # noqa: N802
        self, sxy: float, srgb: float, rgbim: np.ndarray, compat: float
    ) -> None:
        colours = rgbim.reshape(-1, 3).astype(float)
        self.kernels.append(message(np.hstack([self.places / sxy, colours / srgb]), compat))

    def inference(self, rounds: int) -> np.ndarray:
        field = self._normalised(-self.energy)
        for _ in range(rounds):
            field = self._normalised(-self.energy + sum(field @ kernel for kernel in self.kernels))
        return field

    def _normalised(self, scores: np.ndarray) -> np.ndarray:
        weights = np.exp(scores - scores.max(0))
        return np.asarray(weights / weights.sum(0))


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    library, inner = ModuleType("pydensecrf"), ModuleType("pydensecrf.densecrf")
    inner.DenseCRF2D = ExactCrf  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pydensecrf", library)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", inner)


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright square and a dark one on grey, their masks, and noisy probabilities of both."""
    random = np.random.default_rng(seed)
    frame, masks = np.full((H, W, 3), 120, np.uint8), np.zeros((2, H, W), bool)
    masks[0, 2:8, 1:6], masks[1, 3:9, 8:13] = True, True
    frame[masks[0]], frame[masks[1]] = 220, 30
    probs = np.where(masks, 0.6, 0.2) + random.uniform(-0.15, 0.15, masks.shape)
    return frame, masks, (probs / np.maximum(probs.sum(0), 1)).astype(np.float32)


OPTIONS = CrfOptions(appearance_px=6.0, appearance_colour=20.0)


def test_masks_are_drawn_to_the_edges_of_the_frame(exact: None) -> None:
    frame, masks, probs = scene()
    found = dense_crf(probs, frame, OPTIONS)
    assert found.dtype == np.float32
    assert found.sum(0).max() <= 1 + 1e-5
    np.testing.assert_array_equal(found > 0.5, masks)
    assert not np.array_equal(probs > 0.5, masks)


def test_without_kernels_or_rounds_nothing_changes(exact: None) -> None:
    frame, _, probs = scene()
    for options in (CrfOptions(rounds=0), CrfOptions(appearance_weight=0.0, smoothness_weight=0.0)):
        np.testing.assert_allclose(dense_crf(probs, frame, options), probs, atol=1e-4)


def test_no_objects_and_certain_pixels(exact: None) -> None:
    frame, masks, _ = scene()
    assert dense_crf(np.zeros((0, H, W), np.float32), frame).shape == (0, H, W)
    assert np.isfinite(dense_crf(masks.astype(np.float32), frame)).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_library_is_near_its_exact_twin(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("pydensecrf") is None:
        pytest.skip("needs pydensecrf2 (the extra crf)")
    frame, masks, probs = scene(seed)
    found = dense_crf(probs, frame, OPTIONS)
    library = importlib.import_module("pydensecrf.densecrf")
    monkeypatch.setattr(library, "DenseCRF2D", ExactCrf)
    expected = dense_crf(probs, frame, OPTIONS)
    # The library filters on a permutohedral lattice, which blurs its kernels a little.
    assert np.abs(found - expected).mean() < 0.03
    np.testing.assert_array_equal(found > 0.5, masks)


def test_the_error_without_the_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(OptionError, match=r"pydensecrf2.*pip install 'tinct\[crf\]'"):
        check_dense_crf()
    frame, _, probs = scene()
    with pytest.raises(OptionError, match="pydensecrf2"):
        dense_crf(probs, frame)


@pytest.mark.parametrize("change", [{"appearance_px": 0.0}, {"rounds": -1}, {"smoothness_weight": -1.0}])
def test_numbers_that_cannot_be(change: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="spreads are above 0"):
        CrfOptions(**change)  # type: ignore[arg-type]
