"""Several processes: every stage of every recipe, and two processes against one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from tinct.networks.dyenet.network import COMPACT, PAPER
from tinct.training.options import LoopOptions
from tinct.training.recipes import click, dyenet, feelvos, maskrnn, masktrack, osvos
from tinct.training.recipes.recipe import Recipe, train_by_recipe
from tinct.training.sources import Sources

Small = Callable[[Recipe], Recipe]
Thin = Callable[[], AbstractContextManager[None]]

RECIPES = [
    osvos.RECIPES["vgg16"],
    osvos.RECIPES["mobilenetv2"],
    masktrack.RECIPES["vgg16"],
    masktrack.RECIPES["resnet101"],
    masktrack.RECIPES["mobilenetv2"],
    maskrnn.RECIPES["vgg16"],
    maskrnn.RECIPES["mobilenetv2"],
    feelvos.RECIPES["xception65"],
    feelvos.RECIPES["mobilenetv2"],
    click.RECIPES["mobilenetv2"],
]
# Boxes of the paper's 28 cells a side take minutes on a processor.
SMALL_BOXES = {
    name: dyenet.recipe_of(replace(config, roi_grid=6))
    for name, config in (("mobilenetv2", COMPACT), ("resnet101", PAPER))
}
# DyeNet's xception65 differs from resnet101 in the backbone alone, which FEELVOS trains.
RECIPES += SMALL_BOXES.values()
ADVANCED = [
    SMALL_BOXES["resnet101"].with_added(["pyramid", "two-streams"]),
    SMALL_BOXES["mobilenetv2"].with_added(["two-streams"]),
]

JOB = "TINCT_TEST_JOB"
"""Tells a process that a test starts what to train."""


def named(recipe: Recipe) -> str:
    return f"{recipe.method}-{recipe.variant}"


BY_NAME = {named(recipe): recipe for recipe in RECIPES}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [*RECIPES, *ADVANCED], ids=named)
def test_the_loss_of_a_stage_reaches_all_that_the_stage_trains(
    recipe: Recipe, data: Sources, small: Small, thin_networks: Thin
) -> None:
    torch.manual_seed(0)
    with thin_networks():
        task = recipe.task().train()
    stages = small(recipe).build_stages(data, dict.fromkeys(recipe.steps, 1), 0)
    task.prepare(stages)
    everything = {name for name, p in task.network.named_parameters() if p.requires_grad}
    for stage in stages:
        task.zero_grad()
        with stage.frozen(task.network):
            trained = [p for parameters, _ in task.parameter_groups() for p in parameters]
            # A late step too: what fades must not fall out.
            for step in (0, 10_000):
                loss, _ = task(default_collate([stage.clips[0]]), step)
                reached = torch.autograd.grad(loss, trained, allow_unused=True)
                assert None not in reached, stage.name
            # And no more is frozen than must be.
            frozen = everything - {n for n, p in task.network.named_parameters() if p.requires_grad}
        loss, _ = task(default_collate([stage.clips[0]]), 10_000)
        loss.backward()
        unreached = {n for n, p in task.network.named_parameters() if n in everything and p.grad is None}
        assert frozen == unreached, stage.name


def in_processes(
    processes: int, out: Path, recipes: dict[str, dict[str, int]], batch: int
) -> dict[str, list[dict[str, Tensor]]]:
    """What each of several processes ends with, as `accelerate launch --cpu` would start them.

    Args:
        processes: How many.
        out: For their logs and results.
        recipes: The names of those that they train, one after the other, and their steps.
        batch: Of each process.
    """
    out.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {
        **os.environ, JOB: json.dumps({"recipes": recipes, "batch": batch, "out": str(out)}),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes),
    }  # fmt: skip
    test = f"{__file__}::test_one_process"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    logs = [out / f"{rank}.log" for rank in range(processes)]
    running = []
    try:
        for rank, log in enumerate(logs):
            own = {**place, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            with log.open("w") as said:
                running.append(
                    subprocess.Popen(
                        [*command, f"--basetemp={out / str(rank)}"], env=own, stdout=said, stderr=said
                    )
                )
        for process, log in zip(running, logs, strict=True):
            assert process.wait(600) == 0, log.read_text()
    finally:
        for process in running:
            process.kill()
            process.wait()
    ends = [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(processes)]
    return {name: [end[name] for end in ends] for name in recipes}


@pytest.mark.skipif(JOB not in os.environ, reason="a part of the tests below, which start it")
def test_one_process(data: Sources, small: Small, thin_networks: Thin) -> None:
    """Train what the job says, and save the weights, and what else the tasks remember."""
    job = json.loads(os.environ[JOB])
    out = Path(job["out"])
    ends = {}
    for name, steps in job["recipes"].items():
        recipe, tasks = small(BY_NAME[name]), []

        def task(recipe: Recipe = recipe, tasks: list[Any] = tasks) -> Any:
            tasks.append(recipe.task())
            return tasks[-1]

        def stages(*args: Any, recipe: Recipe = recipe) -> list[Any]:
            return [replace(stage, batch=job["batch"]) for stage in recipe.stages(*args)]

        changed = replace(recipe, task=task, stages=stages, from_imagenet=lambda _, source: source)
        options = LoopOptions(
            out / name, recipe.method, recipe.variant, cpu=True, workers=0, mixed_precision="no"
        )
        with thin_networks():
            assert train_by_recipe(changed, data, options, steps=steps).finished, name
        ends[name] = {**tasks[-1].network.state_dict(), **tasks[-1].memory()}
    torch.save(ends, out / f"{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_every_stage(tmp_path: Path) -> None:
    recipes = {named(recipe): dict.fromkeys(recipe.steps, 2) for recipe in RECIPES}
    for name, (first, second) in in_processes(2, tmp_path / "two", recipes, 1).items():
        for part, tensor in first.items():
            torch.testing.assert_close(tensor, second[part], rtol=0, atol=0, msg=f"{name} {part}")


@pytest.mark.slow
def test_two_processes_with_half_the_batch_give_the_weights_of_one(tmp_path: Path) -> None:
    recipes = {"osvos-vgg16": {"sides": 1, "half_sides": 0, "fused": 2}}
    [whole] = in_processes(1, tmp_path / "one", recipes, 2)["osvos-vgg16"]
    first, second = in_processes(2, tmp_path / "two", recipes, 1)["osvos-vgg16"]
    for name, tensor in whole.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
        assert torch.equal(first[name], second[name]), name
