from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load, save, save_file
from torch import nn

from tinct.errors import OutputError, WeightsError
from tinct.io.weights_file import CHECKSUM, FORMAT, PICKLE_MAGIC, canonical
from tinct.networks.weights import load_weights, save_weights
from tinct.zoo import file_sha256

OWNER = {"method": "feelvos", "variant": "mobilenetv2"}


def network(seed: int = 0, width: int = 4) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, network(), **OWNER)
    return path


def refused(path: Path, match: str, into: nn.Module | None = None, **options: Any) -> str:
    """The file is refused with a message like `match`, and the network is as it was."""
    receiver = into or network(seed=1)
    before = copy.deepcopy(receiver.state_dict())
    with pytest.raises(WeightsError, match=match) as caught:
        load_weights(path, receiver, **{**OWNER, **options})
    after = receiver.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    return str(caught.value)


def test_what_was_saved_is_loaded_to_fp16_precision(saved: Path) -> None:
    receiver = network(seed=1)
    load_weights(saved, receiver, **OWNER)
    for name, value in network().state_dict().items():
        loaded = receiver.state_dict()[name]
        assert loaded.dtype == value.dtype
        expected = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded, expected)


def test_metadata_names_the_owner_and_keeps_what_was_added(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, network(), **OWNER, extra={"recipe": "compact", "method": "not this one"})
    metadata = load_weights(path, network(), **OWNER)
    assert metadata == {"format": FORMAT, "recipe": "compact", **OWNER}


def test_the_file_is_half_as_large_as_fp32(tmp_path: Path) -> None:
    wide = nn.Linear(300, 300)
    save_weights(tmp_path / "w.safetensors", wide, **OWNER)
    assert (tmp_path / "w.safetensors").stat().st_size < 2.1 * sum(p.numel() for p in wide.parameters())


def test_the_hash_returned_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    sha256 = save_weights(path, network(), **OWNER)
    assert sha256 == file_sha256(path)


def test_tied_parameters_are_saved_and_loaded(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_weights(tmp_path / "w.safetensors", tied, **OWNER)
    load_weights(tmp_path / "w.safetensors", tied, **OWNER)
    assert tied[1].weight is tied[0].weight


def test_saving_over_a_file_leaves_nothing_else_behind(saved: Path) -> None:
    save_weights(saved, network(seed=2), **OWNER)
    assert os.listdir(saved.parent) == [saved.name]


def test_a_failed_save_keeps_the_old_file_and_cleans_up(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        save_weights(saved, network(seed=2), **OWNER)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_saving_into_a_folder_that_is_not_there_fails_clearly(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder that exists"):
        save_weights(tmp_path / "nowhere" / "w.safetensors", network(), **OWNER)


def test_saving_under_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.safetensors"):
        save_weights(tmp_path / "w.pth", network(), **OWNER)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_a_diverged_network_is_not_saved(tmp_path: Path, value: float) -> None:
    broken = network()
    with torch.no_grad():
        broken[2].bias[0] = value
    with pytest.raises(WeightsError, match=r"2\.bias is not finite"):
        save_weights(tmp_path / "w.safetensors", broken, **OWNER)
    assert not list(tmp_path.iterdir())


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.safetensors", "no weights file")
    refused(tmp_path, "no weights file")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path, name: str, zipped: bool) -> None:
    path = tmp_path / name
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=zipped)
    refused(path, "is a pickle")


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480])
def test_a_header_whose_length_begins_like_a_pickle(length: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for size in range(length):
        save_weights(path, network(), **OWNER, extra={"note": "x" * size})
        if int.from_bytes(path.read_bytes()[:8], "little") == length:
            break
    assert path.read_bytes()[:2] in PICKLE_MAGIC
    assert load_weights(path, network(), **OWNER)["note"]


def test_a_safetensors_file_named_as_a_pickle_is_refused(saved: Path) -> None:
    refused(saved.rename(saved.with_suffix(".pt")), "is a pickle")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(kept=st.floats(0, 1, exclude_max=True))
def test_truncated_anywhere(saved: Path, kept: float) -> None:
    data = saved.read_bytes()
    part = saved.with_name("part.safetensors")
    part.write_bytes(data[: int(kept * len(data))])
    refused(part, "truncated")


def test_bytes_behind_the_end(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"more")
    refused(saved, "followed by other data")


@pytest.mark.parametrize("data", [b"this is a text file", b"\x02\0\0\0\0\0\0\0{]", b"\x02\0\0\0\0\0\0\0[]"])
def test_not_safetensors(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)
    refused(path, "not a safetensors file")


@pytest.mark.parametrize(
    "header",
    [
        '{"__metadata__": [1]}',
        '{"__metadata__": "x"}',
        '{"a": ' + "[" * 10**5,
        '{"a": {"data_offsets": [0, "x"]}}',
        '{"a": {"data_offsets": [0, 1e999]}}',
        '{"a": {"data_offsets": [0, NaN]}}',
        '{"a": {"data_offsets": [0, [1]]}}',
        '{"a": 3}',
    ],
)
def test_a_header_that_says_nothing_possible(tmp_path: Path, header: str) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    refused(path, "not a safetensors file")


def test_a_header_that_lies_about_its_tensors(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F16","shape":[3],"data_offsets":[0,4]},"__metadata__":' + (
        f'{{"format":"{FORMAT}","method":"feelvos","variant":"mobilenetv2"}}}}'.encode()
    )
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    refused(path, "damaged")


def test_any_changed_byte_of_a_tensor_is_seen_without_a_hash_on_record(saved: Path) -> None:
    whole = saved.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for at in range(start, len(whole)):
        saved.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "its checksum does not fit" in refused(saved, "is damaged")


def test_files_without_a_checksum_are_read(saved: Path) -> None:
    """Those of earlier versions, such as the weights of the package."""
    saved.write_bytes(canonical(saved.read_bytes(), {CHECKSUM: None}))
    assert load_weights(saved, network(), **OWNER)["format"] == FORMAT


def test_weights_of_another_method_or_variant_say_whose_they_are(saved: Path) -> None:
    refused(saved, r"feelvos \(mobilenetv2\), not of osvos \(mobilenetv2\)", method="osvos")
    refused(saved, "--variant mobilenetv2", variant="xception65")


def test_safetensors_that_tinct_did_not_save(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "other.safetensors")
    refused(tmp_path / "other.safetensors", "not saved by tinct")


def test_tensors_that_do_not_fit_are_named(saved: Path) -> None:
    bigger = nn.Sequential(*network(), nn.Linear(1, 1))
    assert "missing: 3.bias, 3.weight" in refused(saved, "does not fit", bigger)
    assert "unexpected: 2.bias, 2.weight" in refused(saved, "does not fit", network()[:2])
    wider = refused(saved, "does not fit", network(width=5))
    assert "0.bias (4,) instead of (5,)" in wider
    assert "more" in wider


def test_what_may_be_missing_stays_as_it_was(saved: Path) -> None:
    grown = nn.Sequential(*network(seed=1), nn.Linear(2, 3))
    before = grown[3].weight.clone()
    assert "missing" in refused(saved, "does not fit", grown)
    load_weights(saved, grown, **OWNER, may_lack=("3.",))
    assert torch.equal(grown[3].weight, before)
    assert torch.equal(grown[0].weight, network()[0].weight.half().float())
    # What is there is read, and must fit, all the same.
    assert "of another shape" in refused(saved, "does not fit", network(width=5), may_lack=("0.",))


def test_equal_weights_have_equal_hashes(tmp_path: Path) -> None:
    """The library writes the metadata in random order."""
    extra = {f"entry {i}": f"größe {i}" for i in range(9)}
    hashes = {
        save_weights(tmp_path / f"{i}.safetensors", network(), **OWNER, extra=dict(reversed(extra.items())))
        if i % 2
        else save_weights(tmp_path / f"{i}.safetensors", network(), **OWNER, extra=extra)
        for i in range(20)
    }
    assert len(hashes) == 1
    other = save_weights(tmp_path / "other.safetensors", network(seed=1), **OWNER, extra=extra)
    assert other not in hashes


@pytest.mark.parametrize("width", range(1, 9))
def test_the_library_reads_what_we_wrote_in_order(width: int, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    extra = {"x" * width: "ü", "": "nothing"}
    save_weights(path, network(width=width), **OWNER, extra=extra)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    assert length % 8 == 0
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        assert len(metadata.pop(CHECKSUM)) == 64
        assert metadata == {**extra, "format": FORMAT, **OWNER}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    expected = network(width=width).state_dict()
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(tensors[name], value.half() if value.is_floating_point() else value)


def test_tensors_without_metadata_are_put_in_order_too() -> None:
    data = canonical(save({"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.int64)}))
    assert canonical(data) == data
    assert {name: value.tolist() for name, value in load(data).items()} == {"a": [0, 0], "b": [1, 1, 1]}
