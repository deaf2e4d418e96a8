"""Every paper's recipe in small: the recipe's own code at a reduced size, in minutes on two processor cores.

    python benchmarks/reproduction.py --root DAVIS --stills STILLS --vgg16 vgg16.safetensors --out runs/small

Trains each paper's variant on the split `fit` for a few steps of small samples, from ImageNet's VGG-16
where the paper starts from it and from chance elsewhere; then segments some frames of `dev`, before
and after fine-tuning where the method has that. What comes of it says that a recipe learns, and nothing
of how well the paper's variant would do. The last lines are a table in Markdown; `losses.png` has the curves.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from tinct.data.davis import Davis
from tinct.errors import OptionError, TinctError
from tinct.evaluation.results import read_scores
from tinct.methods import feelvos
from tinct.networks.batch_norm import BATCH_NORMS
from tinct.networks.feelvos import FeelvosNetwork
from tinct.networks.weights import save_weights
from tinct.training.arguments import parse_size

QUALITY = Path(__file__).with_name("quality.py")


@dataclass(frozen=True)
class Reproduction:
    """One recipe in small.

    Attributes:
        method: Such as "osvos".
        variant: The paper's.
        steps: Of its stages, as `tinct train --steps` takes them.
        judged: The stage whose weights segment frames; None for networks from chance, which segment
            nothing after so few steps.
        from_vgg16: Whether it starts from ImageNet's VGG-16; else from chance.
        of_stills: Whether it learns from photos alone.
        rate: As `tinct train --learning-rate`; empty for the recipe's.
        measured: Whether the statistics of batch norm are measured first: where they stay as they are from
            chance, nothing comes through a deep network.
        judged_with: Options that it is judged with, beside the preset `paper`.
    """

    method: str
    variant: str
    steps: str
    judged: str | None
    from_vgg16: bool = False
    of_stills: bool = False
    rate: str = ""
    measured: bool = False
    judged_with: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of its folder and its curve."""
        return f"{self.method}-{self.variant}"


REPRODUCTIONS = (
    Reproduction("osvos", "vgg16", "sides=60,half_sides=30,fused=30", "fused", from_vgg16=True),
    # Its samples are a fifth of the recipe's ten, and so is the rate.
    Reproduction("masktrack", "vgg16", "stills=100", "stills", True, True, rate="2e-4"),
    Reproduction("masktrack", "resnet101", "stills=120", None, of_stills=True, rate="2e-4"),
    # Judged frame by frame, without the flow to the next one.
    Reproduction(
        "maskrnn", "vgg16", "frames=50,recurrence=20", "recurrence", True, judged_with=("look_ahead=False",)
    ),
    # From chance, and for so few steps, rates are larger.
    Reproduction("feelvos", "xception65", "video=40", None, rate="1e-3", measured=True),
    Reproduction("dyenet", "resnet101", "proposals=10,joint=10", None, rate="1e-2"),
    Reproduction("dyenet", "xception65", "proposals=10,joint=10", None, rate="1e-2"),
)

ROWS_PX = 120
"""Frames are segmented at this height."""


def training_command(small: Reproduction, options: argparse.Namespace) -> list[str]:
    """`tinct train` for a recipe in small."""
    data = ["--stills", options.stills] if small.of_stills else ["--data", options.root, "--split", "fit"]
    imagenet = options.vgg16 if small.from_vgg16 else "none"
    shape = ["--steps", small.steps, "--crop", options.crop, "--batch", options.batch, "--log-every", "5"]
    shape += ["--learning-rate", small.rate] if small.rate else []
    shape += ["--init", options.out / f"{small.name}-chance.safetensors"] if small.measured else []
    out = ["--out", options.out / small.name, "--variant", small.variant, "--imagenet", imagenet]
    return [str(word) for word in ("train", small.method, *data, *shape, *out)]


def write_measured(small: Reproduction, options: argparse.Namespace) -> None:
    """FEELVOS's network from chance, with the statistics of some frames in its batch norms."""
    torch.manual_seed(0)
    network = FeelvosNetwork(feelvos.PRESETS[small.variant]["paper"].config)
    for layer in network.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.momentum = None  # the mean of what is seen
    H, W = parse_size(options.crop)
    sequences = list(Davis(options.root, "fit"))[:8]
    frames = np.stack([cv2.resize(sequence.read_frame(0), (W, H)) for sequence in sequences])
    with torch.no_grad():
        network.train().encode(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)
    path = options.out / f"{small.name}-chance.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(path, network, method=small.method, variant=small.variant)


def judging_command(small: Reproduction, options: argparse.Namespace, tuning: int, scores: Path) -> list[str]:
    """`benchmarks/quality.py` for the weights that came of it."""
    weights = options.out / small.name / f"{small.judged}.safetensors"
    what = ["--root", options.root, "--split", "dev", "--sequences", options.sequences, "--every", "4"]
    how = ["--method", small.method, "--variant", small.variant, "--preset", "paper", "--weights", weights]
    tuned = ["--fine-tune", tuning or "none"]
    size = ["--max-frames", "5", "--json", scores]
    for option in (f"working_height={ROWS_PX}", *small.judged_with):
        size += ["--set", option]
    return [str(word) for word in (*what, *how, *tuned, *size)]


def reproduce(small: Reproduction, options: argparse.Namespace) -> list[float]:
    """Train, then segment before and after fine-tuning; the mean J of each."""
    folder: Path = options.out / small.name
    if not (folder / "done").exists():
        if small.measured:
            write_measured(small, options)
        _run("-m", "tinct", *training_command(small, options))
        (folder / "done").touch()
    found = []
    for tuning in (0, options.fine_tune) if small.judged else ():
        scores = folder / f"scores-{tuning}.json"
        if not scores.exists():
            _run(str(QUALITY), *judging_command(small, options, tuning, scores))
        found.append(read_scores(scores).statistics["J"].mean)
    return found


def losses(folder: Path) -> list[float]:
    """The loss of every line of a run's curve."""
    lines = (folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines if line]


def row(small: Reproduction, of_run: Sequence[float], j: Sequence[float]) -> str:
    """A line of the table: the first and the last loss, and J."""
    start = "ImageNet" if small.from_vgg16 else "chance"
    figures = [*(f"{value:.3f}" for value in j), "–", "–"][:2]
    loss = f"{of_run[0]:.3f} → {of_run[-1]:.3f}"
    return f"| {small.name} | {start} | `{small.steps}` | {loss} | {figures[0]} | {figures[1]} |"


def draw(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """The losses of all recipes, each in a plot of its own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(curves), 2.2), layout="constrained")
    for axes, (name, values) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        axes.plot([5 * (i + 1) for i in range(len(values))], values)
        axes.set_title(name, fontsize=8)
        axes.set_xlabel("step", fontsize=7)
        axes.tick_params(labelsize=7)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Run all recipes, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="such as osvos-vgg16 (default: all)")
    parser.add_argument("--root", type=Path, required=True, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--stills", type=Path, required=True, help="photos with object masks")
    parser.add_argument("--vgg16", type=Path, required=True, help="a file with ImageNet's VGG-16")
    parser.add_argument("--out", type=Path, required=True, help="one folder a recipe, and the curves")
    parser.add_argument("--crop", default="96x176", help="size of the samples")
    parser.add_argument("--batch", default="2", help="samples of a step")
    parser.add_argument("--fine-tune", type=int, default=30, help="steps of fine-tuning")
    parser.add_argument("--sequences", default="lucia", help="of dev")
    options = parser.parse_args()
    chosen = [small for small in REPRODUCTIONS if not options.recipes or small.name in options.recipes]
    curves: dict[str, list[float]] = {}
    table = ["| recipe | from | steps | loss | J, parent | J, fine-tuned |", "|---|---|---|---|---|---|"]
    try:
        if len(chosen) < len(options.recipes):
            names = ", ".join(small.name for small in REPRODUCTIONS)
            raise OptionError(f"{' '.join(options.recipes)} came; there are {names}.")
        for small in chosen:
            j = reproduce(small, options)
            curves[small.name] = losses(options.out / small.name)
            table.append(row(small, curves[small.name], j))
        draw(curves, options.out / "losses.png")
    except (TinctError, OSError) as error:
        print(f"reproduction: error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    print("\n".join(table))
    return 0


def _run(*words: str) -> None:
    print("python", *words, flush=True)
    subprocess.run([sys.executable, *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
