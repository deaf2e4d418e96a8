"""`tinct join`: files of an ensemble's networks in, one file that runs out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tinct import zoo
from tinct.cli.application import app
from tinct.cli.join import parse_files
from tinct.errors import OptionError
from tinct.methods.dyenet import DyeNet
from tinct.networks.dyenet.network import PAPER, DyeNetNetwork
from tinct.networks.weights import save_weights


@pytest.mark.parametrize("parts", [{}, {"pyramid": True, "two_streams": True}, {"attention": False}])
def test_the_parts_of_the_networks_are_found(
    parts: dict[str, bool], thin_networks: Any, tmp_path: Path
) -> None:
    """Weights of `--with pyramid,two-streams` are joined by the same command."""
    torch.manual_seed(0)
    given = []
    out = tmp_path / "both.safetensors"
    with thin_networks():
        for name in ("resnet101", "xception65"):
            file = tmp_path / f"{name}.safetensors"
            network = DyeNetNetwork(replace(PAPER, backbone=name, **parts))
            save_weights(file, network, method="dyenet", variant=name)
            given.append(f"{name}={file}")
        result = CliRunner().invoke(
            app, ["join", "dyenet", *given, "--out", str(out)], catch_exceptions=False
        )
        assert result.exit_code == 0
        assert zoo.file_sha256(out) in result.output
        config = replace(PAPER, **parts)
        runner = zoo.build_segmenter("dyenet", "ensemble", "paper", out, "cpu", config=config)
    assert isinstance(runner, DyeNet)
    assert [network.config.backbone for network in runner.networks] == ["resnet101", "xception65"]


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'resnet101' came; give VARIANT=FILE"):
        parse_files(["resnet101"])
    with pytest.raises(OptionError, match="Two files of resnet101"):
        parse_files(["resnet101=a", "resnet101=b"])
    with pytest.raises(OptionError, match="dyenet joins those of ensemble: resnet101 and xception65"):
        zoo.join_weights("dyenet", {"resnet101": tmp_path / "a"}, tmp_path / "o.safetensors")
    with pytest.raises(OptionError, match="No variant of osvos joins others' weights; dyenet has one"):
        zoo.join_weights("osvos", {"vgg16": tmp_path / "a"}, tmp_path / "o.safetensors")
