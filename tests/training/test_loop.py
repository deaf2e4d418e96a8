from __future__ import annotations

import json
import math
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor, nn

from tinct.data.samplers import ClipOptions, Clips
from tinct.errors import DatasetError, NumericalError, OptionError, OutputError, TinctError
from tinct.io.processes import host_tag
from tinct.runs.folder_lock import LockWarning
from tinct.training import loop, stage_run
from tinct.training.interruption import TrainingInterrupted
from tinct.training.options import LoopOptions, Outcome
from tinct.training.stages import SGD, AdamW, CosineSchedule, Stage, Task

SAVE_EVERY = 3
FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
"""Python 3.12 warns of every fork where there are threads."""

STEPS = {"first": 4, "second": 5}


class Squares(Clips):
    """A bright square on noise; clip 1000 is broken."""

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        T, (H, W) = self.options.frames, self.options.size
        images = random.integers(0, 100, (T, H, W, 3)).astype(np.uint8)
        labels = np.zeros((T, H, W), np.uint8)
        labels[:, 2:6, 2:6] = 1
        images[labels == 1] += 120
        return images, labels

    def describe(self) -> str:
        return f"squares, {self.options}"


class Broken(Squares):
    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        raise DatasetError("bear/00001.jpg cannot be read as an image.")


class Segmenting(Task):
    """Two convolutions; as random in training as dropout is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        self.factor = 1.0

    def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        frames = batch["frames"].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        logits = self.network(F.dropout(frames, 0.2)) * self.factor
        loss = F.cross_entropy(logits, batch["labels"].flatten(0, 1).long())
        return loss, {"loss": loss.detach()}

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        return [(list(self.network[0].parameters()), 0.1), (list(self.network[2].parameters()), 1.0)]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One thread, no TensorBoard (it takes seconds to import), and a fresh accelerate."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(stage_run, "find_spec", lambda name: None)
    yield
    AcceleratorState._reset_state(True)
    torch.set_num_threads(threads)


def stages(source: type[Clips] = Squares, **changes: Any) -> list[Stage]:
    options = ClipOptions(size=(8, 8), frames=3, min_reference_pixels=4, seed=1)
    first = Stage(
        "first", source(options), STEPS["first"], 2, 0.01, CosineSchedule(2), AdamW(1e-3), 1.0, ema_decay=0.5
    )
    return [replace(first, **changes), replace(first, name="second", steps=STEPS["second"], ema_decay=0.9)]


def options(out: Path, **changes: Any) -> LoopOptions:
    defaults = {"cpu": True, "workers": 0, "mixed_precision": "no", "save_every": SAVE_EVERY, "log_every": 1}
    return LoopOptions(out, "feelvos", "tiny", **{**defaults, **changes})


def weights(task: Task) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in task.network.state_dict().items()}


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def curve(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def run(out: Path, **changes: Any) -> tuple[Segmenting, Outcome]:
    task = Segmenting()
    return task, loop.train(task, stages(), options(out, **changes))


@pytest.mark.parametrize("clip_each", [False, True])
def test_gradients_are_clipped_together_or_each_by_itself(clip_each: bool, tmp_path: Path) -> None:
    task, taken = Segmenting(), {}

    class Watching(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            taken.update({id(p): float(p.grad.norm()) for p in task.network.parameters()})

    def watching(groups: Any) -> torch.optim.Optimizer:
        return Watching(groups, lr=0.1)

    [stage, _] = stages(
        steps=1, optimiser=watching, clip_gradient_norm=1e-4, clip_each=clip_each, ema_decay=0.0
    )
    loop.train(task, [stage], options(tmp_path))
    norms = list(taken.values())
    assert len(norms) == 4
    together = math.sqrt(sum(norm**2 for norm in norms))
    assert (norms if clip_each else [together]) == pytest.approx([1e-4] * (4 if clip_each else 1), rel=1e-2)
    assert ("clip_each" in stage.describe()) == clip_each


class PowerCutError(Exception):
    pass


def at(count: int, act: Callable[[], None]) -> Callable[..., None]:
    """A progress callback that acts after the count-th step."""
    seen = iter(range(1, 1000))
    return lambda stage, step, figures: act() if next(seen) == count else None


def cut_power() -> None:
    raise PowerCutError


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_run, "find_spec", lambda name: None)
        task, outcome = run(out)
    AcceleratorState._reset_state(True)
    assert outcome == Outcome(True, "second", STEPS["second"], sum(STEPS.values()))
    return weights(task), curve(out)


def test_a_run_leaves_weights_and_a_curve(tmp_path: Path) -> None:
    task, _ = run(tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "checkpoint.pt", "curve.jsonl", "first.safetensors", "second.safetensors",
    ]  # fmt: skip
    assert [(line["stage"], line["step"]) for line in curve(tmp_path / "run")] == [
        (name, step) for name, count in STEPS.items() for step in range(1, count + 1)
    ]
    saved = load_file(tmp_path / "run" / "second.safetensors")
    assert same(saved, {name: tensor.half() for name, tensor in weights(task).items()})


def test_training_learns(tmp_path: Path) -> None:
    task = Segmenting()
    [stage, _] = stages(steps=60, learning_rate=0.1)
    loop.train(task, [stage], options(tmp_path))
    losses = [line["loss"] for line in curve(tmp_path)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 7, 8, 9])
def test_a_crash_after_any_step_leaves_no_trace(step: int, tmp_path: Path, uninterrupted: Any) -> None:
    with pytest.raises(PowerCutError):
        loop.train(Segmenting(), stages(), options(tmp_path), progress=at(step, cut_power))
    # The network of the new process is the one of a new process: a checkpoint, if any, fills it.
    task, outcome = run(tmp_path, resume=True)
    assert outcome.finished
    assert same(weights(task), uninterrupted[0])
    assert curve(tmp_path) == uninterrupted[1]


def _killed(out: Path) -> None:
    loop.train(
        Segmenting(), stages(), options(out), progress=at(6, lambda: os.kill(os.getpid(), signal.SIGKILL))
    )


@FORKS
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that share this one's imports need fork")
def test_a_killed_process_leaves_no_trace(tmp_path: Path, uninterrupted: Any) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    left = tmp_path / f".checkpoint.{host_tag()}-{process.pid}-abc_1234.part.pt"
    left.write_bytes(b"half")
    with pytest.warns(LockWarning, match=f"process {process.pid} was cut short"):
        task, outcome = run(tmp_path, resume=True)
    assert not left.exists()
    assert outcome.steps_taken == sum(STEPS.values()) - STEPS["first"]
    assert same(weights(task), uninterrupted[0])
    assert curve(tmp_path) == uninterrupted[1]


@FORKS
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that share this one's imports need fork")
def test_two_processes_never_train_in_one_folder(tmp_path: Path, uninterrupted: Any) -> None:
    context = multiprocessing.get_context("fork")
    begun, end = context.Event(), context.Event()

    def slow() -> None:
        def wait() -> None:
            begun.set()
            end.wait(60)

        loop.train(Segmenting(), stages(), options(tmp_path), progress=at(1, wait))

    first = context.Process(target=slow)
    first.start()
    assert begun.wait(60)
    for resume in (False, True):
        with pytest.raises(OutputError, match=f"in use by process {first.pid}: .*Wait for its end"):
            run(tmp_path, resume=resume)
    end.set()
    first.join(60)
    assert first.exitcode == 0
    assert curve(tmp_path) == uninterrupted[1]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step_under_way(
    number: signal.Signals, tmp_path: Path, uninterrupted: Any
) -> None:
    handler = signal.getsignal(number)
    with pytest.raises(TrainingInterrupted, match="after step 2 of stage 'first'") as caught:
        loop.train(
            Segmenting(), stages(), options(tmp_path), progress=at(2, lambda: os.kill(os.getpid(), number))
        )
    assert caught.value.signal_number == number
    assert signal.getsignal(number) is handler
    task, outcome = run(tmp_path, resume=True)
    assert outcome.steps_taken == sum(STEPS.values()) - 2
    assert same(weights(task), uninterrupted[0])


def test_slices_add_up_to_the_whole(tmp_path: Path, uninterrupted: Any) -> None:
    task, outcome = run(tmp_path, stop_after_s=0.0)
    assert outcome == Outcome(False, "first", 1, 1)
    slices = 1
    while not outcome.finished:
        task, outcome = run(tmp_path, stop_after_s=0.0, resume=True)
        slices += 1
    # The last step of a stage does not end a slice: nothing is left of it.
    assert slices == sum(STEPS.values()) - 1
    assert same(weights(task), uninterrupted[0])
    assert curve(tmp_path) == uninterrupted[1]


def test_every_second_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100_000))
    monkeypatch.setattr(stage_run.time, "monotonic", lambda: float(next(now)))
    run(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= next(now)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path, uninterrupted: Any) -> None:
    run(tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    task, outcome = run(tmp_path, resume=True)
    assert outcome == Outcome(True, "second", STEPS["second"], 0)
    assert "nothing was left to do" in outcome.summary(tmp_path)
    assert same(weights(task), uninterrupted[0])
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@FORKS
def test_workers_change_nothing(tmp_path: Path, uninterrupted: Any) -> None:
    task, _ = run(tmp_path, workers=1)
    assert same(weights(task), uninterrupted[0])


@FORKS
@pytest.mark.parametrize("workers", [0, 1])
def test_broken_data_are_named_plainly(workers: int, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        loop.train(Segmenting(), stages(Broken), options(tmp_path, workers=workers))
    assert str(caught.value) == "bear/00001.jpg cannot be read as an image."
    # The error is still held here: a worker that lived on with it would hang the process at its end.
    assert not multiprocessing.active_children()


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(OptionError, match="--resume"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "loop_changes", "message"),
    [
        ({"batch": 3}, {}, "batch of stage 'first' was 2 and is 3"),
        ({"learning_rate": 0.5}, {}, "learning_rate of stage 'first'"),
        ({"optimiser": SGD(0.9, 0.0)}, {}, "optimiser of stage 'first' was AdamW"),
        ({"steps": 5}, {}, "steps of stage 'first' was 4 and is 5"),
        ({"ema_decay": 0.0}, {}, "ema_decay of stage 'first'"),
        ({"clips": Squares(ClipOptions(size=(8, 8), seed=2))}, {}, "clips of stage 'first'"),
        ({}, {"seed": 3}, "seed was 0 and is 3"),
    ],
)
def test_a_run_is_resumed_by_its_own_recipe_only(
    changes: dict[str, Any], loop_changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    run(tmp_path, stop_after_s=0.0)
    with pytest.raises(OptionError, match=message):
        loop.train(Segmenting(), stages(**changes), options(tmp_path, resume=True, **loop_changes))


def test_a_run_is_resumed_on_its_own_data_only(tmp_path: Path) -> None:
    first = options(tmp_path, stop_after_s=0.0)
    loop.train(Segmenting(), stages(), first, sources="davis-2016 (30 sequences)")
    with pytest.raises(OptionError, match=r"sources was 'davis-2016 .* and is 'coco"):
        loop.train(Segmenting(), stages(), options(tmp_path, resume=True), sources="coco (5 photos)")
    again = options(tmp_path, resume=True)
    assert loop.train(Segmenting(), stages(), again, sources="davis-2016 (30 sequences)").finished


def test_accumulated_gradients_are_those_of_the_batch(tmp_path: Path) -> None:
    """Two parts of two clips each learn what one batch of four does, to rounding."""

    class WithoutChance(Segmenting):
        def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
            frames = batch["frames"].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
            loss = F.cross_entropy(self.network(frames), batch["labels"].flatten(0, 1).long())
            return loss, {"loss": loss.detach()}

    learnt = []
    for parts in (1, 2, 4):
        task, out = WithoutChance(), tmp_path / str(parts)
        loop.train(task, stages(batch=4, accumulate=parts), options(out))
        learnt.append(weights(task))
        losses = [[row["loss"] for row in curve(of)] for of in (out, tmp_path / "1")]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for other in learnt[1:]:
        for name, tensor in learnt[0].items():
            assert torch.allclose(other[name], tensor, rtol=1e-4, atol=1e-6), name
    for parts, shown in ((4, "4"), (1, "None")):
        with pytest.raises(OptionError, match=f"accumulate of stage 'first' was 2 and is {shown}"):
            loop.train(Segmenting(), stages(batch=4, accumulate=parts), options(tmp_path / "2", resume=True))


def test_a_stage_that_is_still_to_come_may_take_more_steps(tmp_path: Path) -> None:
    with pytest.raises(PowerCutError):
        loop.train(Segmenting(), stages(), options(tmp_path), progress=at(5, cut_power))
    first, second = stages()
    longer = [first, replace(second, steps=7)]
    outcome = loop.train(Segmenting(), longer, options(tmp_path, resume=True))
    assert outcome == Outcome(True, "second", 7, 7)
    with pytest.raises(OptionError, match="steps of stage 'second' was 7 and is 5"):
        run(tmp_path, resume=True)


def test_a_stage_may_be_added_at_the_end_but_none_taken_away(tmp_path: Path) -> None:
    first, second = stages()
    loop.train(Segmenting(), [first], options(tmp_path))
    outcome = loop.train(Segmenting(), [first, second], options(tmp_path, resume=True))
    assert outcome == Outcome(True, "second", 5, 5)
    with pytest.raises(OptionError, match="stage 'second' was begun and is gone"):
        loop.train(Segmenting(), [first], options(tmp_path, resume=True))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: b"no checkpoint at all",
        lambda data: pickle.dumps({"format": "other"}, protocol=2),
        lambda data: pickle.dumps(print, protocol=2),
    ],
    ids=["half", "a byte short", "empty", "text", "other pickle", "pickled code"],
)
def test_a_damaged_checkpoint_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    run(tmp_path, stop_after_s=0.0)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TinctError, match=r"checkpoint\.pt cannot be read as a checkpoint"):
        run(tmp_path, resume=True)


def test_a_changed_tensor_of_a_checkpoint_is_seen(tmp_path: Path) -> None:
    """torch alone would take it."""
    task, _ = run(tmp_path, stop_after_s=0.0)
    path = tmp_path / "checkpoint.pt"
    data, tensor = path.read_bytes(), task.network[0].bias.detach().numpy().tobytes()
    at = data.index(tensor)
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(TinctError, match=r"the checksum of its part .* does not fit"):
        run(tmp_path, resume=True)


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"stage": "fi\xc3rst", "step": 1}\n']
)
def test_a_damaged_line_of_the_curve_is_dropped(line: bytes, tmp_path: Path, uninterrupted: Any) -> None:
    run(tmp_path, stop_after_s=0.0)
    with (tmp_path / "curve.jsonl").open("ab") as file:
        file.write(line)
    run(tmp_path, resume=True)
    assert curve(tmp_path) == uninterrupted[1]


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, stop_after_s=0.0)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(content: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinct.training.checkpoint.torch.save", full)
    with pytest.raises(OutputError, match="No space left"):
        run(tmp_path, resume=True)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob(".checkpoint*"))


def test_without_decay_the_averaged_weights_are_the_current_ones(tmp_path: Path) -> None:
    loop.train(Segmenting(), stages(ema_decay=0.0), options(tmp_path, stop_after_s=0.0))
    for _ in range(2):
        loop.train(Segmenting(), stages(ema_decay=0.0), options(tmp_path, stop_after_s=0.0, resume=True))
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 3
    average = {n.removeprefix("module."): t for n, t in saved["average"].items() if n != "n_averaged"}
    assert same(average, saved["network"])


def test_the_average_is_an_exponential_one(tmp_path: Path) -> None:
    networks = []
    task = Segmenting()

    def note(*_: Any) -> None:
        networks.append(weights(task)["0.weight"])

    loop.train(task, stages()[:1], options(tmp_path), progress=note)
    expected = networks[0]
    for n, network in enumerate(networks[1:], start=1):
        # A stage's decay is 0.5; until then the average is quicker.
        kept = min(0.5, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * network
    torch.testing.assert_close(weights(task)["0.weight"], expected)


def test_learning_rates_follow_the_schedule_and_the_groups(tmp_path: Path) -> None:
    seen: list[list[float]] = []

    class Noting(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            seen.append([group["lr"] for group in self.param_groups])

    [stage, _] = stages(optimiser=Noting)
    loop.train(Segmenting(), [stage], options(tmp_path))
    factors = [0.5, 1.0, 1.0, 0.5 * (1 + math.cos(math.pi / 2))]
    np.testing.assert_allclose(seen, [[0.001 * f, 0.01 * f] for f in factors])


def test_nan_ends_the_run_and_is_not_saved(tmp_path: Path) -> None:
    task = Segmenting()

    def spoil() -> None:
        task.factor = math.nan

    with pytest.raises(NumericalError, match="loss became nan at step 2 of stage 'second'"):
        loop.train(task, stages(), options(tmp_path), progress=at(5, spoil))
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in saved["network"].values())


def test_an_infinite_gradient_ends_the_run(tmp_path: Path) -> None:
    class Steep(Segmenting):
        def forward(self, batch: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
            loss = (self.network[0].weight - self.network[0].weight.detach()).square().sum().sqrt()
            return loss, {"loss": loss.detach()}

    with pytest.raises(NumericalError, match="norm of the gradient became nan at step 1"):
        loop.train(Steep(), stages(), options(tmp_path))


def test_every_stage_is_scored_once_even_if_the_first_attempt_crashes(tmp_path: Path) -> None:
    files: list[str] = []

    def score(file: Path, device: torch.device) -> dict[str, float]:
        assert device.type == "cpu"
        files.append(file.name)
        if len(files) == 2:
            raise PowerCutError
        return {"j_and_f": len(files) / 10}

    with pytest.raises(PowerCutError):
        loop.train(Segmenting(), stages(), options(tmp_path), on_stage_end=score)
    loop.train(Segmenting(), stages(), options(tmp_path, resume=True), on_stage_end=score)
    assert files == ["first.safetensors", "second.safetensors", "second.safetensors"]
    scores = [line for line in curve(tmp_path) if "j_and_f" in line]
    assert scores == [
        {"stage": "first", "step": 4, "j_and_f": 0.1},
        {"stage": "second", "step": 5, "j_and_f": 0.3},
    ]


def test_bfloat16_trains_too_and_auto_keeps_to_it(tmp_path: Path) -> None:
    run(tmp_path, mixed_precision="bf16", stop_after_s=0.0)
    _, outcome = run(tmp_path, mixed_precision="auto", resume=True)
    assert outcome.finished
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["precision"] == "bf16"


@pytest.mark.parametrize(
    ("device", "fast", "expected"), [("cpu", True, "bf16"), ("cpu", False, "no"), ("cuda", False, "fp16")]
)
def test_the_fast_precision_of_a_device(
    device: str, fast: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "bfloat16_is_faster", lambda kind: fast)
    assert loop._fast_precision(device) == expected


def test_half_precision_on_the_processor_is_explained(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'fp16' needs a GPU"):
        run(tmp_path, mixed_precision="fp16")


def test_one_precision_per_process(tmp_path: Path) -> None:
    run(tmp_path / "one")
    with pytest.raises(OptionError, match="one precision and device per Python process"):
        run(tmp_path / "other", mixed_precision="bf16")


def test_nothing_to_train_and_no_place_to_write_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no stage"):
        loop.train(Segmenting(), [], options(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    "wrong", [{"mixed_precision": "bf61"}, {"seed": -1}, {"workers": -1}, {"save_every": 0}, {"log_every": 0}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        options(tmp_path, **wrong)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.undo()
    run(tmp_path, stop_after_s=0.0)
    written = list((tmp_path / "tensorboard" / "first").iterdir())
    assert len(written) == 1
    assert b"loss" in written[0].read_bytes()


@pytest.mark.parametrize(("first_step", "processes"), [(0, 1), (3, 1), (2, 3)])
def test_each_step_has_its_own_clips(first_step: int, processes: int) -> None:
    steps, batch = 5, 2
    taken = {
        step: [
            clip
            for process in range(processes)
            for clip in list(stage_run.StepBatches(first_step, steps, batch, process, processes))[
                step - first_step
            ]
        ]
        for step in range(first_step, steps)
    }
    share = batch * processes
    assert taken == {step: list(range(step * share, (step + 1) * share)) for step in taken}
    assert len(stage_run.StepBatches(first_step, steps, batch, 0, processes)) == steps - first_step
    assert len(stage_run.StepBatches(9, steps, batch, 0, processes)) == 0


def test_every_step_has_a_seed_of_its_own() -> None:
    seeds = {
        stage_run.step_seed(seed, stage, step, process)
        for seed in range(3)
        for stage in range(2)
        for step in range(20)
        for process in range(2)
    }
    assert len(seeds) == 3 * 2 * 20 * 2
    assert stage_run.step_seed(0, 0, 0, 0) == 15793235383387715774
