"""The work that `kills.py` kills: real methods, evaluation, training and exports, over small inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, H, W = 12, 64, 96

UNDER_WAY = ("run.json", "run.jsonl", "state.safetensors")
"""What a run changes, or removes when it is complete."""


@dataclass(frozen=True)
class Work:
    """One kind of work that is killed.

    Attributes:
        name: For the report.
        do: Does it into a folder, and goes on with what lies there.
        results: Where below that folder the files lie that are compared.
        words: The command that does the same, with OUT for the folder; empty if there is none.
        appears_whole: The files appear all at once, when all is done.
        ignored: Names of files and folders that are not compared: they grow, or hold times.
    """

    name: str
    do: Callable[[Path], None]
    results: str = "masks"
    words: tuple[str, ...] = ()
    appears_whole: bool = False
    ignored: tuple[str, ...] = UNDER_WAY


def pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Textured frames in which two squares move, and their label maps."""
    draws = np.random.default_rng(0)
    ground = draws.integers(60, 140, (H, W, 3)).astype(np.uint8)
    frames, label_maps = [], []
    for t in range(FRAMES):
        frame, labels = ground.copy(), np.zeros((H, W), np.uint8)
        for number, colour, rows, columns in (
            (1, (200, 60, 40), slice(12, 36), slice(8 + t, 34 + t)),
            (7, (50, 80, 210), slice(30, 56), slice(64 - t, 86 - t)),
        ):
            frame[rows, columns], labels[rows, columns] = colour, number
        frames.append(frame)
        label_maps.append(labels)
    return frames, label_maps


def write_dataset(root: Path) -> Path:
    """Two sequences in the layout of DAVIS, of which the second runs backwards."""
    from PIL import Image

    from tinct.io.mask_files import write_mask

    for name, step in (("bear", 1), ("camel", -1)):
        folders = [root / kind / "480p" / name for kind in ("JPEGImages", "Annotations")]
        for folder in folders:
            folder.mkdir(parents=True)
        for index, (frame, labels) in enumerate(list(zip(*pictures(), strict=True))[::step]):
            Image.fromarray(frame).save(folders[0] / f"{index:05d}.jpg", quality=95)
            write_mask(folders[1] / f"{index:05d}.png", labels)
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "train.txt").write_text("bear\ncamel\n")
    return root


def segmenting(name: str, data: Path, method: str, **options: Any) -> Work:
    """A run of a method over the first sequence, resumed if it was begun."""
    from tinct.io.mask_files import read_label_png
    from tinct.io.video import Video
    from tinct.runs.segment_to_folder import FolderOptions, segment_to_folder
    from tinct.runs.segmenter_config import SegmenterConfig

    frames, mask = data / "JPEGImages/480p/bear", data / "Annotations/480p/bear/00000.png"
    config = SegmenterConfig(method, device="cpu", **options)
    video, prompts = Video.open(frames), {0: read_label_png(mask)}
    segmenter = config.build(video, prompts=prompts)

    def work(out: Path) -> None:
        resumed = FolderOptions(resume=True, overlay=False)
        segment_to_folder(segmenter, video, prompts, out, resumed, info={"method": method})

    given = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    words = ["segment", str(frames), "--mask", str(mask), "--out", "OUT", "--method", method, *given]
    return Work(name, work, words=(*words, "--device", "cpu", "--threads", "1", "--no-overlay", "--resume"))


def evaluating(data: Path) -> Work:
    """FEELVOS over both sequences, scored."""
    from tinct.evaluation.dataset_split import DatasetSplit
    from tinct.evaluation.evaluate import evaluate
    from tinct.runs.segmenter_config import SegmenterConfig

    config = SegmenterConfig("feelvos", preset="fast", device="cpu")

    def work(out: Path) -> None:
        evaluate(DatasetSplit("davis-2017", data, "train"), config, out)

    # What the run cost stands in the scores.
    given = f"--dataset davis-2017 --root {data} --split train --preset fast --device cpu --threads 1"
    words = ("evaluate", *given.split(), "--no-report", "--out", "OUT")
    return Work(
        "evaluate", work, "", words, ignored=("run.json", "run.jsonl", "state.safetensors", "scores.json")
    )


def training(data: Path) -> Work:
    """Six steps of the compact OSVOS on small frames, with a checkpoint after each."""
    from tinct.data.masked_frames import DavisFrames, FrameOptions, MaskedFrames
    from tinct.training.options import LoopOptions
    from tinct.training.recipes.osvos import RECIPES
    from tinct.training.recipes.recipe import compact_stage, train_by_recipe
    from tinct.training.sources import Sources
    from tinct.training.stages import Stage

    def stages(sources: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
        samples = MaskedFrames(
            [(DavisFrames(sources.videos()), 1.0)], FrameOptions(size=(32, 48), one_object=False, seed=seed)
        )
        return [compact_stage(name, samples, 3, 2, 1e-3) for name in ("stills", "video")]

    def untouched(network: Any, source: str) -> str:
        return "chance"

    recipe = replace(RECIPES["mobilenetv2"], stages=stages, from_imagenet=untouched)

    def work(out: Path) -> None:
        options = LoopOptions(
            out, "osvos", "mobilenetv2", 0, "no", cpu=True, workers=0, save_every=1, log_every=1, resume=True
        )
        train_by_recipe(recipe, Sources.of_folders(data), options)

    return Work("train OSVOS", work, "", ignored=("checkpoint.pt", "curve.jsonl", "tensorboard"))


def exporting(name: str, to: str, run: Path, data: Path) -> Work:
    """An export of a complete run."""
    from tinct.interchange.exports import LabelledVideo, export
    from tinct.io.video import Video

    video = Video.open(data / "JPEGImages/480p/bear")

    def work(out: Path) -> None:
        out.mkdir(exist_ok=True)
        if not (out / "export").exists():  # a folder is whole once it is there, and never written over
            export(LabelledVideo.of_run(run, video), to, out / "export")

    return Work(name, work, "", appears_whole=True)


def works(folder: Path, do_apart: Callable[[Work, Path], Any]) -> list[Work]:
    """All kinds of work.

    Args:
        folder: Gets their input.
        do_apart: Does a work in a process of its own: one that has computed has threads, and cannot be
            forked.
    """
    data = write_dataset(folder / "data")
    streaming = segmenting("FEELVOS, fast", data, "feelvos", preset="fast")
    run = folder / "exported"
    do_apart(streaming, run)
    return [
        streaming,
        segmenting("OSVOS, fine-tuned", data, "osvos", preset="fast", fine_tune="3"),
        evaluating(data),
        segmenting("DyeNet", data, "dyenet", preset="fast"),
        training(data),
        exporting("export of cut-outs", "cutout-png", run, data),
        exporting("export of COCO", "coco", run, data),
        exporting("export of ProRes", "cutout-prores", run, data),
    ]
