"""Weights on the hub: found, fetched, pinned, pushed; and what is said where that fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_kit import tinct_command
from hub_kit import COMMIT, Hub, http_error
from huggingface_hub import errors

import tinct
from tinct import zoo
from tinct.errors import MissingWeightsError, OptionError, OutputError, WeightsError
from tinct.methods.feelvos import Feelvos
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.zoo.hub import HubReference, download, hub_reference

OWN = zoo.resolve_weights("feelvos", "mobilenetv2", None)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(tmp_path / "hub", monkeypatch)


def test_what_names_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pinned = HubReference("user/repo", "v1.0")
    assert hub_reference("hf://user/repo") == HubReference("user/repo")
    assert hub_reference("hf://user/repo@v1.0") == hub_reference(Path("hf://user/repo@v1.0")) == pinned
    assert str(pinned) == "hf://user/repo@v1.0"
    assert hub_reference("user/repo") is None
    assert hub_reference("user/sam2.1-tiny", bare=True) == HubReference("user/sam2.1-tiny")
    (tmp_path / "user/repo").mkdir(parents=True)
    assert hub_reference("user/repo", bare=True) is None
    assert hub_reference("/a/b/c.safetensors", bare=True) is None
    for text in ("hf://repo", "hf://a/b/c", "hf://"):
        with pytest.raises(OptionError, match="names no repository; write hf://user/repo"):
            hub_reference(text)


def test_weights_are_pushed_and_come_back_by_their_address(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tinct_command(monkeypatch, "push", str(OWN.path), "user/colours", "--private") == 0
    assert hub.asked[0]["private"] is True
    said = capsys.readouterr().out
    assert f"https://huggingface.co/user/colours/commit/{COMMIT}" in said
    assert OWN.sha256 in said
    folder = hub.folder("user/colours")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "card.json", "feelvos_mobilenetv2.safetensors",
    ]  # fmt: skip
    segmenter = tinct.build_segmenter("hf://user/colours", device="cpu")
    assert isinstance(segmenter, Feelvos)
    described = SegmenterConfig(weights="hf://user/colours", device="cpu").described()
    assert described["weights"] == f"hf://user/colours@{COMMIT}"
    assert described["weights_sha256"] == OWN.sha256
    assert hub.asked[-1]["repo_id"] == "user/colours"
    assert not any(
        pattern.endswith((".bin", ".pt", "*")) and pattern != "LICENSE*"
        for pattern in hub.asked[-1]["allow_patterns"]
    )
    zoo.resolve_weights("feelvos", "mobilenetv2", f"hf://user/colours@{COMMIT}")
    assert hub.asked[-1]["revision"] == COMMIT


def test_the_readme_has_what_the_hub_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("push", str(OWN.path), "user/colours", "--dry-run", str(tmp_path / "card"), "--licence", "mit")
    assert tinct_command(monkeypatch, *words) == 0
    readme = (tmp_path / "card/README.md").read_text()
    _, head, body = readme.split("---\n", 2)
    data: dict[str, Any] = yaml.safe_load(head)
    assert (data["library_name"], data["license"], data["pipeline_tag"]) == (
        "tinct",
        "mit",
        "image-segmentation",
    )
    (index,) = data["model-index"]
    card = zoo.weights_record("feelvos", "mobilenetv2")
    assert card is not None
    figures = [metric["value"] for result in index["results"] for metric in result["metrics"]]
    assert sorted(figures) == sorted(score.value for score in card.scores.values())
    assert "--weights hf://user/colours" in body
    assert card.recipe in body
    assert json.loads((tmp_path / "card/card.json").read_text())["sha256"] == OWN.sha256


def test_what_cannot_be_pushed(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinct.zoo.cards import lay_out

    def refused(
        kind: type[Exception], match: str, source: Path, repo: str = "user/repo", out: str = "new"
    ) -> None:
        with pytest.raises(kind, match=match):
            lay_out(source, tmp_path / out, repo, "mit")

    refused(OptionError, "names no repository", OWN.path, "repo")
    (tmp_path / "empty").mkdir()
    refused(WeightsError, "holds no weights", tmp_path / "empty")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/old").touch()
    refused(OutputError, "is not empty", OWN.path, out="full")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/video.safetensors").write_bytes(OWN.path.read_bytes())
    (tmp_path / "run/video.json").write_text('{"sha256": "00ff"}')
    refused(WeightsError, "is the card of other weights", tmp_path / "run")
    (tmp_path / "run/video.json").unlink()
    assert lay_out(tmp_path / "run", tmp_path / "good", "user/repo", "mit") == OWN.sha256
    hub.errors["user/repo"] = OSError("403 Forbidden: no token")
    with pytest.raises(WeightsError, match=r"cannot be written on the hub .*403.*hf auth login"):
        zoo.hub.push_folder(tmp_path / "good", "user/repo", "weights")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (http_error(errors.GatedRepoError, "403"), WeightsError, r"is gated.*https://huggingface.co/user/repo.*hf auth login"),  # noqa: E501
        (http_error(errors.RepositoryNotFoundError, "404"), MissingWeightsError, "no repository user/repo on the hub, or it is private"),  # noqa: E501
        (http_error(errors.RevisionNotFoundError, "404"), MissingWeightsError, "no revision 'v9'"),
        (errors.LocalEntryNotFoundError("no connection"), WeightsError, r"not in the cache, and cannot be fetched.*hf download user/repo --revision v9 --local-dir DIR"),  # noqa: E501
        (errors.OfflineModeIsEnabled("offline"), WeightsError, "OfflineModeIsEnabled: offline"),
        (errors.HFValidationError("strange name"), WeightsError, "strange name"),
    ],
)  # fmt: skip
def test_what_is_said_where_the_hub_gives_nothing(
    hub: Hub, error: Exception, kind: type[Exception], message: str
) -> None:
    hub.errors["user/repo"] = error
    with pytest.raises(kind, match=message):
        download(HubReference("user/repo", "v9"))


def test_repositories_that_hold_no_weights_of_ours(hub: Hub) -> None:
    folder = hub.folder("user/repo")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(WeightsError, match=r"holds no safetensors, and pickles"):
        tinct.build_segmenter("hf://user/repo")
    (folder / "a.safetensors").write_bytes(OWN.path.read_bytes())
    (folder / "b.safetensors").write_bytes(OWN.path.read_bytes())
    with pytest.raises(WeightsError, match=r"holds 2 files of weights \(a.safetensors, b.safetensors\)"):
        tinct.build_segmenter("hf://user/repo")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="model of the type 'bert', which no method of tinct runs"):
        tinct.build_segmenter("hf://user/repo")


def test_networks_of_transformers_are_known_by_their_config(hub: Hub) -> None:
    from tinct.zoo.hub import method_on_hub

    for repo, model_type, expected in (
        ("user/mine", "edgetam_video", ("edgetam", "repvit")),
        ("user/other", "sam3_video", ("sam3_tracker", "pe")),
        ("facebook/sam2.1-hiera-large", "sam2_video", ("sam2", "large")),
    ):
        (hub.folder(repo) / "config.json").write_text(json.dumps({"model_type": model_type}))
        (hub.folder(repo) / "model.safetensors").write_bytes(b"x")
        assert method_on_hub(HubReference(repo)) == expected
    located = zoo.resolve_weights("sam2", "large", None)
    assert located.path == hub.folder("facebook/sam2.1-hiera-large")
    assert str(located.hub) == f"hf://facebook/sam2.1-hiera-large@{COMMIT}"
    assert located == zoo.resolve_weights("sam2", "tiny", "facebook/sam2.1-hiera-large")
