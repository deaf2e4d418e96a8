"""What the recipes of all methods share: weights to start from, stages, the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tinct import zoo
from tinct.data.samplers import Samples
from tinct.errors import OptionError, WeightsError, near_match
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.regular_files import check_regular
from tinct.networks.weights import load_weights
from tinct.training.checkpoint import FILE_NAME as CHECKPOINT
from tinct.training.dev_score import scored_on
from tinct.training.loop import train
from tinct.training.options import LoopOptions, Outcome, Progress
from tinct.training.overrides import Overrides
from tinct.training.sources import Sources
from tinct.training.stages import AdamW, CosineSchedule, Stage, Task

TakeOver = Callable[[nn.Module, dict[str, Tensor]], int]
"""Starts a network from another method's tensors; says how many were taken."""


@dataclass(frozen=True)
class Recipe:
    """How one variant of a method is trained.

    Attributes:
        method: Its name in the zoo.
        variant: The variant's name there.
        steps: Of each stage, where none are asked for.
        task: Makes the task, with a network that chance made.
        stages: Sources, steps, seed → stages.
        from_imagenet: Gives the network's backbones ImageNet weights; says where they came from.
        take_over: Other method → how to start from its weights.
        parts: What may be left out, as in the papers' ablations: its name → how to get the recipe
            without it.
        additions: What may be added: its name → how to get the recipe with it.
        may_lack: How the names of tensors begin that weights to start from may lack.
        dev_options: The segmenter's that a stage's end is measured with, where they are not the preset's.
        foreign: Starts a network from a file of other authors; says what was taken. None where none is known.
        optional: Stages of photos that are left out where no photos are given, unless steps are asked for.
    """

    method: str
    variant: str
    steps: Mapping[str, int]
    task: Callable[[], Task]
    stages: Callable[[Sources, Mapping[str, int], int], list[Stage]]
    from_imagenet: Callable[[nn.Module, str], str]
    take_over: Mapping[str, TakeOver] = field(default_factory=dict)
    parts: Mapping[str, Callable[[Recipe], Recipe]] = field(default_factory=dict)
    additions: Mapping[str, Callable[[Recipe], Recipe]] = field(default_factory=dict)
    may_lack: tuple[str, ...] = ()
    dev_options: Mapping[str, Any] = field(default_factory=dict)
    foreign: Callable[[nn.Module, Path], str] | None = None
    optional: tuple[str, ...] = ()

    def without(self, parts: Iterable[str]) -> Recipe:
        """The recipe without some of its parts.

        Raises:
            OptionError: It has no such part, or not as one that can be left out.
        """
        return self._changed("parts", parts, "leave out")

    def with_added(self, parts: Iterable[str]) -> Recipe:
        """The recipe with parts that it lacks.

        Raises:
            OptionError: There is no such part to add.
        """
        return self._changed("additions", parts, "add")

    def _changed(self, kind: str, names: Iterable[str], verb: str) -> Recipe:
        """The recipe after the changes of some names, which `parts` or `additions` hold."""
        recipe = self
        for name in names:
            known: Mapping[str, Callable[[Recipe], Recipe]] = getattr(recipe, kind)
            if name not in known:
                hint = near_match(name, known) if known else "It has none that can be."
                raise OptionError(
                    f"The recipe of {self.method} {self.variant} has no part {name!r} to {verb}. {hint}"
                )
            recipe = known[name](recipe)
        return recipe

    def build_stages(self, data: Sources, steps: Mapping[str, int] | None, seed: int) -> list[Stage]:
        """The stages, with the steps that were asked for; 0 leaves one out.

        Raises:
            OptionError: No such stage, steps below 0, or data that a stage needs are not given.
            DatasetError: Something of the data is missing.
        """
        for name, count in (steps or {}).items():
            if name not in self.steps:
                raise OptionError(
                    f"The recipe of {self.method} {self.variant} has no stage {name!r}. "
                    f"{near_match(name, self.steps)}"
                )
            if count < 0:
                raise OptionError(f"Stage {name!r} was given {count} steps; 0 leaves it out.")
        left_out = dict.fromkeys(self.optional if data.stills is None else (), 0)
        return self.stages(data, {**self.steps, **left_out, **(steps or {})}, seed)

    def build_task(self, *, imagenet: str | None = None, init: Path | None = None) -> Task:
        """The task, its network started from weights.

        Args:
            imagenet: Where the backbones' ImageNet weights come from (`load_imagenet`), if there is
                no `init`; None leaves them randomly initialised, for a checkpoint to fill.
            init: Weights of this method, of one that the recipe builds on, or of the other authors that it
                knows (`foreign`).

        Raises:
            WeightsError: Weights are missing, do not fit, or belong to a method that is of no use.
        """
        task = self.task()
        if init is not None:
            self._start_from(task.network, init)
        elif imagenet is not None:
            self.from_imagenet(task.network, imagenet)
        return task

    def segmenter(self, weights: Path, device: torch.device) -> StreamingSegmenter[Any]:
        """What measures the weights of a stage's end: the preset "default", without fine-tuning."""
        segmenter = zoo.build_segmenter(
            self.method, self.variant, weights=weights, device=str(device), fine_tune="none",
            **self.dev_options,
        )  # fmt: skip
        assert isinstance(segmenter, StreamingSegmenter)
        return segmenter

    def _start_from(self, network: nn.Module, init: Path) -> None:
        if self.foreign is not None and init.is_file() and not is_own_file(init):
            self.foreign(network, init)
            return
        method = method_of_weights(init)
        if method == self.method:
            load_weights(init, network, method=self.method, variant=self.variant, may_lack=self.may_lack)
            return
        if method not in self.take_over:
            known = ", ".join([self.method, *self.take_over])
            raise WeightsError(
                f"{init} holds weights of {method}, from which {self.method} cannot start; give weights of "
                f"{known}."
            )
        with safe_open(init, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if self.take_over[method](network, tensors) == 0:
            raise WeightsError(
                f"{init} holds weights of {method}, but none of their names and shapes are those of "
                f"{self.method} {self.variant}; give weights of the same backbone."
            )


def compact_stage(
    name: str,
    samples: Samples,
    steps: int,
    batch: int,
    learning_rate: float,
    ema_decay: float = 0.998,
    *,
    warm_up_steps: int = 50,
) -> Stage:
    """A stage of a compact variant: AdamW, a cosine, gradients of at most norm 2."""
    return Stage(
        name, samples, steps, batch, learning_rate, schedule=CosineSchedule(warm_up_steps),
        optimiser=AdamW(weight_decay=1e-3), clip_gradient_norm=2.0, ema_decay=ema_decay,
    )  # fmt: skip


def is_own_file(path: Path) -> bool:
    """Whether a file is one of weights that tinct wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            return "method" in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def method_of_weights(path: Path) -> str:
    """The method whose weights a file holds.

    Raises:
        WeightsError: It is missing, or no weights file of tinct.
    """
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The weights {path} cannot be read: {error}. Check the path.") from error
    if "method" not in metadata:
        raise WeightsError(f"{path} does not say whose weights it holds; give a file that tinct wrote.")
    return str(metadata["method"])


def train_by_recipe(
    recipe: Recipe,
    data: Sources,
    options: LoopOptions,
    *,
    steps: Mapping[str, int] | None = None,
    imagenet: str = "auto",
    init: Path | None = None,
    dev: str | None = None,
    overrides: Overrides | None = None,
    progress: Callable[[list[Stage]], Progress] | None = None,
) -> Outcome:
    """Train; the result is `<last stage>.safetensors` in the run's folder.

    Args:
        recipe: Of the variant.
        data: What to train on.
        options: The run: folder, seed, precision, resume.
        steps: See `Recipe.build_stages`.
        imagenet: See `Recipe.build_task`.
        init: Weights to start from; see `Recipe.build_task`.
        dev: A split of the same data: J and F on it, without fine-tuning, are measured at the end
            of every stage and written to the curve.
        overrides: What departs from the recipe's batches, rates, sizes and flow.
        progress: Stages → what is called after every step.

    Raises:
        OptionError: A stage, source or option that does not exist, or a run that is not this one.
        DatasetError: Something of the data is missing or broken.
        WeightsError: Weights to start from are missing or do not fit.
        TinctError: Whatever else `tinct.training.loop.train` raises.
    """
    stages = recipe.build_stages(data, steps, options.seed)
    if overrides is not None:
        stages = overrides.applied(stages)
    score = None
    if dev is not None:
        if recipe.method not in zoo.methods_where("streams"):
            raise OptionError(
                f"--dev measures methods that go from frame to frame; {recipe.method} sees the whole video. "
                "Measure its weights with `tinct evaluate`."
            )
        if data.davis is None:
            raise OptionError("--dev names a split of the videos, and no videos were given; add --data.")
        score = scored_on(data.davis, dev, recipe.segmenter)
    resumes = options.resume and (options.out / CHECKPOINT).exists()
    torch.manual_seed(options.seed)
    task = recipe.build_task(imagenet=None if resumes else imagenet, init=None if resumes else init)

    return train(
        task,
        stages,
        options,
        sources=data.describe(),
        progress=None if progress is None else progress(stages),
        on_stage_end=score,
    )
