from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image as PillowImage

from tinct.data.samplers import ClipOptions, MixedClips, StillClips, VideoClips
from tinct.errors import DatasetError, OptionError, WeightsError
from tinct.methods.feelvos import build
from tinct.networks.feelvos import FeelvosNetwork
from tinct.networks.weights import save_weights
from tinct.training import stage_run
from tinct.training.options import LoopOptions, Outcome
from tinct.training.recipes import feelvos
from tinct.training.recipes import recipe as shared
from tinct.training.recipes.feelvos import RECIPES
from tinct.training.recipes.recipe import train_by_recipe
from tinct.training.sources import Sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of one sequence, photos, and weights to start from."""
    root = tmp_path_factory.mktemp("feelvos")
    (root / "ImageSets" / "2016").mkdir(parents=True)
    for split in ("train", "dev"):
        (root / "ImageSets" / "2016" / f"{split}.txt").write_text("square\n")
    pictures, truths = (root / kind / "480p" / "square" for kind in ("JPEGImages", "Annotations"))
    images, masks = root / "stills" / "images", root / "stills" / "masks"
    for made in (pictures, truths, images, masks):
        made.mkdir(parents=True)
    for t in range(4):
        labels = np.zeros((40, 56), np.uint8)
        labels[8:32, 8 + 2 * t : 36 + 2 * t] = 255
        noise = np.random.default_rng(t).integers(0, 100, (40, 56, 3))
        image = (noise + 120 * (labels > 0)[..., None]).astype(np.uint8)
        PillowImage.fromarray(image).save(pictures / f"{t:05d}.jpg")
        PillowImage.fromarray(labels).save(truths / f"{t:05d}.png")
        PillowImage.fromarray(image).save(images / f"{t}.jpg")
        PillowImage.fromarray(labels // 255).save(masks / f"{t}.png")
    network = RECIPES["mobilenetv2"].task().network
    save_weights(root / "start.safetensors", network, method="feelvos", variant="mobilenetv2")
    return root


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(stage_run, "find_spec", lambda name: None)
    yield
    AcceleratorState._reset_state(True)


def data(folder: Path, stills: bool = True) -> Sources:
    return Sources(folder, stills=folder / "stills" if stills else None)


def test_the_compact_recipe(folder: Path) -> None:
    first, second = RECIPES["mobilenetv2"].build_stages(data(folder), None, seed=3)
    assert {stage.name: stage.steps for stage in (first, second)} == RECIPES["mobilenetv2"].steps
    assert isinstance(first.clips, StillClips)
    assert isinstance(second.clips, MixedClips)
    assert second.clips.other is first.clips
    assert first.clips.options.seed == 3
    [alone] = RECIPES["mobilenetv2"].build_stages(data(folder, stills=False), {"video": 10}, seed=0)
    assert isinstance(alone.clips, VideoClips)
    assert alone.steps == 10
    [videos] = RECIPES["mobilenetv2"].build_stages(data(folder), {"stills": 0}, seed=0)
    assert videos.name == "video"


def test_the_papers_recipe(folder: Path) -> None:
    [stage] = RECIPES["xception65"].build_stages(data(folder), None, seed=0)
    assert (stage.name, stage.steps, stage.ema_decay) == ("video", 200_000, 0.0)
    options = stage.clips.options
    assert (options.size, options.frames, options.max_step) == ((465, 465), 3, 1)
    assert (options.paste, options.degrade, options.colour) == (0.0, 0.0, 0.0)
    assert stage.schedule(100_000, 200_000) == pytest.approx(0.5**0.9)


@pytest.mark.parametrize(
    ("variant", "stills", "steps", "message"),
    [
        ("mobilenetv2", True, {"still": 5}, "Did you mean 'stills'"),
        ("mobilenetv2", True, {"video": -5}, "-5 steps"),
        ("mobilenetv2", False, {"stills": 5}, "--stills"),
        ("xception65", True, {"stills": 5}, "no stage 'stills'"),
    ],
)
def test_what_does_not_exist_is_refused(
    variant: str, stills: bool, steps: dict[str, int], message: str, folder: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        RECIPES[variant].build_stages(data(folder, stills), steps, seed=0)


def test_tasks_start_from_what_was_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        FeelvosNetwork, "start_from_imagenet", lambda self, source: asked.append(source) or "hub"
    )
    RECIPES["mobilenetv2"].build_task(imagenet="hub")
    assert asked == ["hub"]
    torch.manual_seed(1)
    one = RECIPES["mobilenetv2"].build_task(init=folder / "start.safetensors")
    torch.manual_seed(2)
    other = RECIPES["mobilenetv2"].build_task(init=folder / "start.safetensors")
    assert asked == ["hub"]
    for left, right in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(left, right)
    assert not next(one.network.extractor.backbone.parameters()).requires_grad
    with pytest.raises(WeightsError, match="cannot be read"):
        RECIPES["mobilenetv2"].build_task(init=folder / "none.safetensors")


def run(folder: Path, out: Path, **changes: Any) -> Outcome:
    settings = {"cpu": True, "workers": 0, "mixed_precision": "no", "log_every": 1, **changes}
    return train_by_recipe(
        RECIPES["mobilenetv2"],
        data(folder),
        LoopOptions(out, "feelvos", "mobilenetv2", **settings),
        steps={"stills": 1, "video": 1},
        init=folder / "start.safetensors",
        dev="dev",
    )


def test_a_run_from_photos_to_scores(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"size": (40, 56), "min_reference_pixels": 20}
    monkeypatch.setattr(feelvos, "ClipOptions", lambda **given: ClipOptions(**{**given, **small}))
    outcome = run(folder, tmp_path)
    assert outcome == Outcome(True, "video", 1, 2)
    curve = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"], "j_and_f" in line) for line in curve] == [
        ("stills", 1, False), ("stills", 1, True), ("video", 1, False), ("video", 1, True),
    ]  # fmt: skip
    assert curve[1]["j_and_f"] == pytest.approx((curve[1]["j"] + curve[1]["f"]) / 2, abs=1e-4)
    assert all(np.isfinite(line["loss"]) for line in curve[::2])
    build("mobilenetv2", "default", tmp_path / "video.safetensors", torch.device("cpu"))
    # Resumed, it needs no weights to start from, and finds nothing left to do.
    monkeypatch.setattr(shared, "load_weights", None)
    assert run(folder, tmp_path, resume=True).steps_taken == 0


def test_a_missing_dev_list_is_found_before_the_first_step(folder: Path, tmp_path: Path) -> None:
    options = LoopOptions(tmp_path / "run", "feelvos", "mobilenetv2", cpu=True)
    with pytest.raises(DatasetError, match="Did you mean 'dev'"):
        train_by_recipe(RECIPES["mobilenetv2"], data(folder), options, dev="dve")
    assert not (tmp_path / "run").exists()
