"""The exported graphs: onnx's checker, that they say what the networks say, and the example."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tinct import zoo
from tinct.errors import OptionError
from tinct.inference.segmenter import segment_video
from tinct.io.mask_files import read_label_png, write_mask
from tinct.methods import masktrack, osvos
from tinct.networks.weights import load_weights
from tinct.zoo.export_model import EXPORTED, export_model

onnxruntime = pytest.importorskip("onnxruntime")
EXAMPLE = Path(__file__).parents[2] / "examples/onnx/segment.py"
SIZE = (72, 104)


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "half"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for method in EXPORTED:
        export_model(method, root / method, preset="fast", half=request.param)
    return root


def run(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    outputs: list[np.ndarray] = onnxruntime.InferenceSession(str(path)).run(None, inputs)
    return outputs


def frame(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def test_the_checker_accepts_every_graph_and_the_json_describes_it(models: Path) -> None:
    onnx = pytest.importorskip("onnx")
    for path in models.rglob("*.onnx"):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        described = json.loads((path.parent / "model.json").read_text("utf-8"))["graphs"][path.name]
        assert list(described["inputs"]) == [value.name for value in model.graph.input]
        assert list(described["outputs"]) == [value.name for value in model.graph.output]


def test_a_step_is_encode_match_and_head_in_one(models: Path) -> None:
    folder = models / "feelvos"
    features, embedding, skip = run(folder / "encode.onnx", frame=frame(0))
    random = np.random.default_rng(1)
    probs = random.uniform(size=(3, *embedding.shape[2:])).astype(np.float32)
    probs /= probs.sum(0)
    reference = {
        "reference_embedding": np.ascontiguousarray(embedding[0].reshape(64, -1).T)[::2],
        "reference_membership": np.ascontiguousarray(probs.reshape(3, -1).T)[::2],
    }
    previous = {"previous_embedding": embedding, "previous_probs": probs}
    logits, after, next_probs = run(folder / "step.onnx", frame=frame(2), **reference, **previous)
    features, embedding, skip = run(folder / "encode.onnx", frame=frame(2))
    near = run(folder / "match.onnx", embedding=embedding, **reference, **previous)
    named = dict(zip(("global_distances", "local_distances"), near, strict=True))
    [again] = run(folder / "head.onnx", features=features, skip=skip, previous_probs=probs, **named)
    np.testing.assert_allclose(logits, again, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(after, embedding)
    soft = np.exp(logits) / np.exp(logits).sum(0)
    cells = soft.reshape(3, next_probs.shape[1], 2, -1, 2).mean((2, 4))
    np.testing.assert_allclose(next_probs, cells, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("method", "guided"), [("osvos", False), ("masktrack", True)])
def test_a_stream_says_what_it_says_in_torch(models: Path, method: str, guided: bool) -> None:
    networks: dict[str, Any] = {
        "osvos": lambda: osvos.OsvosNetwork(osvos.COMPACT),
        "masktrack": lambda: masktrack.MaskTrackNetwork(masktrack.COMPACT),
    }
    network = networks[method]().eval()
    load_weights(
        zoo.resolve_weights(method, "mobilenetv2", None)[0], network, method=method, variant="mobilenetv2"
    )
    masks = np.random.default_rng(0).uniform(size=(2, 1, *SIZE)).astype(np.float32)
    guides = {"previous_masks": masks} if guided else {}
    [logits] = run(models / method / "network.onnx", frame=frame(), **guides)
    pixels = torch.from_numpy(frame()).permute(2, 0, 1)[None] / 255
    pixels = pixels.expand(2 if guided else 1, -1, -1, -1)
    with torch.inference_mode():
        expected = network(pixels, *(torch.from_numpy(each) for each in guides.values())).fused
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-4 * abs(expected).max().item())


def test_the_example_gives_tincts_masks(models: Path, tmp_path: Path) -> None:
    frames = [np.roll(frame(), (t, 2 * t), (0, 1)) for t in range(7)]
    labels = np.zeros(SIZE, np.uint8)
    labels[10:50, 10:40], labels[30:60, 50:90] = 3, 8
    write_mask(tmp_path / "first.png", labels)
    (tmp_path / "frames").mkdir()
    for index, each in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"frames/{index:05d}.png"), each[..., ::-1])
    example = runpy.run_path(str(EXAMPLE))
    example["main"](models / "feelvos", tmp_path / "frames", tmp_path / "first.png", tmp_path / "out")
    segmenter = zoo.build_segmenter(preset="fast", backend="onnx", gate=False)
    for index, masks in segment_video(segmenter, frames, {0: labels}):
        found = read_label_png(tmp_path / f"out/{index:05d}.png")
        assert (found == masks.label_map).mean() > 0.99


def test_a_network_without_a_graph_and_a_preset_of_several_runs_are_named() -> None:
    with pytest.raises(OptionError, match="no graph of dyenet"):
        export_model("dyenet", Path("never"))
    with pytest.raises(OptionError, match="export 'default', and run its graphs on both"):
        export_model("feelvos", Path("never"), preset="best")
