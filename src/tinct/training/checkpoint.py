"""Checkpoints of a run: written whole or not at all, and never resumed by another recipe."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tinct.errors import OptionError, OutputError, TinctError
from tinct.io.atomic import atomic_write
from tinct.io.regular_files import check_regular
from tinct.shapes import holds_arrays
from tinct.training.stages import Stage

FORMAT = "tinct-checkpoint-1"
FILE_NAME = "checkpoint.pt"


@holds_arrays
@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Where a run stands, between two steps.

    Attributes:
        recipe: What is run (`recipe_of`).
        stage: Index of the stage under way; as many as there are stages once all are done.
        step: Its steps done.
        seconds: Spent so far, in all slices together.
        precision: "no", "bf16" or "fp16".
        network: The state of the network.
        memory: What the task keeps beside it (`Task.memory`).
        average: The state of its moving average; None at the start of a stage, as the next two.
        optimiser: The state of the optimiser.
        scaler: The state of the gradient scaler, under fp16.
    """

    recipe: dict[str, Any]
    stage: int
    step: int
    seconds: float
    precision: str
    network: dict[str, Tensor]
    memory: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] | None = None
    optimiser: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint; until the new one is whole on disk, the one before stays.

    Raises:
        OutputError: The folder is full or cannot be written.
    """
    content = {each.name: getattr(checkpoint, each.name) for each in fields(checkpoint)}
    try:
        with atomic_write(path) as part, part.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
    except (OutputError, RuntimeError) as error:
        raise OutputError(
            f"The checkpoint was not saved: {error} Free some space and resume; the one before is whole."
        ) from error


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint of that name, on the CPU; None if there is no such file.

    Raises:
        TinctError: It is damaged, or something else.
    """
    if not path.exists():
        return None
    try:
        check_regular(path)
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        return Checkpoint(**content)
    except Exception as error:  # of zipfile, zlib, struct, pickle and torch, each has its own
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):
            # torch's own text recommends to load it unsafely.
            reason = "it holds something else"
        raise TinctError(
            f"{path} cannot be read as a checkpoint of a run: {reason}. It is damaged or of another version "
            "of tinct. Put back a copy, or delete it to start the run again."
        ) from error


def _check_sums(path: Path) -> None:
    """ValueError or BadZipFile if what is stored is not what was written; torch does not look at the sums."""
    with zipfile.ZipFile(path) as archive:
        changed = archive.testzip()
    if changed is not None:
        raise ValueError(f"the checksum of its part {changed} does not fit")


def recipe_of(
    stages: Sequence[Stage], *, method: str, variant: str, seed: int, processes: int, sources: str = ""
) -> dict[str, Any]:
    """What decides which weights a run ends with, but for the precision and the machine."""
    described = [stage.describe() for stage in stages]
    run = {"method": method, "variant": variant, "seed": seed, "processes": processes, "sources": sources}
    return {**run, "stages": described}


def check_recipe(checkpoint: Checkpoint, recipe: Mapping[str, Any], path: Path) -> None:
    """Refuse to resume a run by another recipe; the steps of stages that are still to come may change.

    Raises:
        OptionError: They differ; the message says in what.
    """
    differences = [
        f"{name} was {checkpoint.recipe.get(name)!r} and is {recipe[name]!r}"
        for name in ("method", "variant", "seed", "processes", "sources")
        # Runs of older versions do not know their sources.
        if checkpoint.recipe.get(name, recipe[name] if name == "sources" else None) != recipe[name]
    ]
    before, now = checkpoint.recipe.get("stages", []), recipe["stages"]
    # A stage with no step done is still to come.
    begun = checkpoint.stage + (checkpoint.step > 0)
    if len(now) < begun:
        differences.append(f"stage {before[len(now)]['name']!r} was begun and is gone")
    for index, (old, new) in enumerate(zip(before, now, strict=False)):
        differences += [
            f"{name} of stage {old['name']!r} was {old.get(name)} and is {new.get(name)}"
            for name in {**new, **old}
            if old.get(name) != new.get(name) and (name != "steps" or index < begun)
        ]
    if differences:
        raise OptionError(
            f"{path} belongs to another run: {'; '.join(differences)}. Resume it with the options that it "
            "was started with, or give another folder."
        )
