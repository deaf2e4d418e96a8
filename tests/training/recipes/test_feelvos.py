from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image as PillowImage

from tinct.data.frame_triplets import FrameTriplets
from tinct.data.samplers import ClipOptions, MixedClips, StillClips, VideoClips
from tinct.errors import DatasetError, OptionError, WeightsError
from tinct.methods.feelvos import Options, build
from tinct.networks.deeplab import DeepLabV3Plus
from tinct.networks.feelvos import FeelvosNetwork
from tinct.networks.feelvos_parts import FeelvosConfig
from tinct.networks.weights import save_weights
from tinct.training import stage_run
from tinct.training.options import LoopOptions, Outcome
from tinct.training.recipes import feelvos
from tinct.training.recipes import recipe as shared
from tinct.training.recipes.feelvos import RECIPES
from tinct.training.recipes.feelvos_task import FeelvosTask, LossOptions
from tinct.training.recipes.recipe import train_by_recipe
from tinct.training.sources import Sources
from tinct.training.stages import SGD
from tinct.zoo.methods import METHODS


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
    return Sources.of_folders(folder, stills=folder / "stills" if stills else None)


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
    # Real frames alone: scaled by 1 to 1.3, cropped and mirrored, and nothing else.
    assert isinstance(stage.clips, FrameTriplets)
    options = stage.clips.options
    assert (options.size, options.scale, options.min_cells) == ((465, 465), (1.0, 1.3), 10)
    assert stage.optimiser == SGD(momentum=0.9, weight_decay=4e-5)
    assert (stage.batch, stage.learning_rate) == (6, 7e-4)
    assert (stage.clip_gradient_norm, stage.clip_each) == (5.0, True)
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


def test_the_papers_start_may_be_deeplabs_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = FeelvosNetwork(FeelvosConfig(backbone="mobilenetv2_035", feature_channels=8))
    task = FeelvosTask(network, Options(), LossOptions())
    asked: list[tuple[object, Path]] = []

    def load(extractor: DeepLabV3Plus, path: Path) -> str:
        asked.append((extractor, path))
        return "taken"

    monkeypatch.setattr(feelvos, "load_deeplab", load)
    np.savez(folder / "deeplab.npz", aspp0=np.zeros(1))
    replace(RECIPES["xception65"], task=lambda: task).build_task(init=folder / "deeplab.npz")
    assert asked == [(network.extractor, folder / "deeplab.npz")]
    # The compact variant knows no such file, nor does either know one that is not there.
    for variant, file in (("mobilenetv2", "deeplab.npz"), ("xception65", "none.npz")):
        with pytest.raises(WeightsError, match="cannot be read"):
            replace(RECIPES[variant], task=lambda: task).build_task(init=folder / file)


@pytest.mark.parametrize("variant", ["mobilenetv2", "xception65"])
@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("global-matching", {"global_matching": False}),
        ("local-matching", {"previous_matching": "none"}),
        ("window", {"previous_matching": "frame"}),
        ("previous-prediction", {"previous_prediction": False}),
    ],
)
def test_parts_of_the_papers_ablation_can_be_left_out(
    variant: str, part: str, changes: dict[str, Any]
) -> None:
    whole = RECIPES[variant]
    without = whole.without([part])
    before, after = whole.task.args[0], without.task.args[0]  # type: ignore[attr-defined]
    assert after == replace(before, **changes)
    assert after != before
    assert without.dev_options == changes
    assert set(METHODS["feelvos"].recipe_parts) == set(whole.parts)


def test_something_must_be_matched() -> None:
    with pytest.raises(OptionError, match="leave out one"):
        RECIPES["mobilenetv2"].without(["global-matching", "local-matching"])


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
