from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.errors import OutputError, TinctError
from tinct.inference.state_files import load_state, read_extra, save_state


@dataclass(frozen=True)
class Memory:
    embedding: torch.Tensor
    weight: float


@dataclass(frozen=True)
class State:
    reference: torch.Tensor
    labels: np.ndarray
    object_ids: tuple[int, ...]
    memories: tuple[Memory, ...]
    newest: Memory | None
    name: str
    count: int
    warm: bool


@dataclass(frozen=True)
class Other:
    reference: torch.Tensor


def a_state() -> State:
    memory = Memory(torch.randn(2, 3).to(torch.bfloat16), 0.1)
    labels = np.array([[0, 7], [255, 1]], np.uint8)
    return State(
        torch.randn(4, 5),
        labels,
        (1, 5, 7),
        (memory, replace(memory, weight=float("inf"))),
        None,
        "é",
        3,
        True,
    )


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = a_state()
    save_state(tmp_path / "s.safetensors", state)
    back = load_state(tmp_path / "s.safetensors", State)
    assert torch.equal(back.reference, state.reference)
    assert back.labels.dtype == np.uint8
    np.testing.assert_array_equal(back.labels, state.labels)
    assert (back.object_ids, back.newest, back.name, back.count, back.warm) == ((1, 5, 7), None, "é", 3, True)
    assert back.memories[0].embedding.dtype is torch.bfloat16
    assert torch.equal(back.memories[0].embedding, state.memories[0].embedding)
    assert [m.weight for m in back.memories] == [0.1, float("inf")]


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(4)), data=st.data())
def test_the_memory_layout_is_kept(
    order: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every stride, also of dimensions of size 1, of gaps between rows, of what is expanded."""
    shape = data.draw(st.tuples(*[st.integers(0, 4)] * 4))
    tensor = torch.rand(shape).permute(order)
    if gaps := data.draw(st.booleans()):
        tensor = tensor[..., ::2]
    if not gaps and tensor.shape[0] == 1:
        tensor = tensor.expand(3, -1, -1, -1)
    path = tmp_path_factory.mktemp("state") / "s.safetensors"
    save_state(path, Other(tensor))
    back = load_state(path, Other).reference
    assert torch.equal(back, tensor)
    assert back.stride() == tensor.stride()


def test_tensors_that_share_memory_can_be_saved(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = replace(a_state(), reference=shared[:3], memories=(Memory(shared[2:].expand(2, 4), 0.0),))
    save_state(tmp_path / "s.safetensors", state)
    back = load_state(tmp_path / "s.safetensors", State)
    assert back.reference.tolist() == [0, 1, 2]
    assert back.memories[0].embedding.tolist() == [[2, 3, 4, 5]] * 2


def test_tensors_made_in_inference_mode_can_be_saved(tmp_path: Path) -> None:
    with torch.inference_mode():
        state = Other(torch.arange(6.0).reshape(2, 3).T)
    save_state(tmp_path / "s.safetensors", state)
    assert load_state(tmp_path / "s.safetensors", Other).reference.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_saving_leaves_the_state_alone(tmp_path: Path) -> None:
    state = a_state()
    before = state.reference.clone()
    save_state(tmp_path / "s.safetensors", state)
    load_state(tmp_path / "s.safetensors", State).reference.add_(1)
    assert torch.equal(state.reference, before)


def test_extra_words_are_kept(tmp_path: Path) -> None:
    save_state(tmp_path / "s.safetensors", a_state(), {"frames": 25, "run": "abc"})
    assert read_extra(tmp_path / "s.safetensors") == {"frames": 25, "run": "abc"}


def test_a_newer_state_replaces_the_older_and_leaves_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    save_state(path, Other(torch.zeros(2)))
    save_state(path, Other(torch.ones(3)))
    assert load_state(path, Other).reference.tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_truncated_file_is_explained(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "s.safetensors"
    save_state(path, a_state())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TinctError, match="cannot be read"):
        load_state(path, State)
    with pytest.raises(TinctError, match="cannot be read"):
        read_extra(path)


def test_every_damaged_byte_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    save_state(path, a_state(), {"frames": 25})
    whole = path.read_bytes()
    for position in range(8, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(TinctError, match="Start the run again"):
            load_state(path, State)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TinctError, match="cannot be read"):
        load_state(tmp_path / "none.safetensors", State)


def test_another_class_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "s.safetensors", a_state())
    with pytest.raises(TinctError, match="holds a state of State, not of Other"):
        load_state(tmp_path / "s.safetensors", Other)


def test_a_class_whose_fields_changed_is_refused(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Other:
        references: torch.Tensor

    save_state(tmp_path / "s.safetensors", Other(torch.zeros(1)))
    with pytest.raises(TinctError, match=r"references.*Start the run again"):
        load_state(tmp_path / "s.safetensors", globals()["Other"])


def test_plain_weights_are_no_state(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(TinctError, match="no saved state"):
        load_state(tmp_path / "w.safetensors", State)


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\.memories\.0\.weight is a list"):
        save_state(tmp_path / "s.safetensors", replace(a_state(), memories=(Memory(torch.zeros(1), [1]),)))
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_state(tmp_path / "file" / "s.safetensors", a_state())
