"""What `tinct batch` says before Ray starts; tests/batch/test_on_ray.py has the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_kit import tinct_command


@pytest.mark.parametrize(
    ("manifest", "words", "message"),
    [
        ("", [], "holds no video"),
        ("clip,masks\na.mp4,a.png\n", [], "has no column `video`"),
        ("video,masks\na.mp4,a.png\nx/a.mov,a.png\n", [], "rows 1 and 2 have one output, 'a'"),
        ("video,masks\na.mp4,a.png\n", ["--gpus-per-video", "1.5"], "1.5 GPUs per video came"),
        ("video,masks\na.mp4,a.png\n", ["--direction", "up"], "up"),
        ("video,masks\na.mp4,a.png;5:b.png\n", ["--cut-at-prompts"], "write INDEX:FILE"),
        (
            "video,masks\na.mp4,a.png\n",
            ["--ray", "127.0.0.1:9"],
            "127.0.0.1:9 cannot be joined",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    manifest: str,
    words: list[str],
    message: str,
) -> None:
    pytest.importorskip("ray")
    (tmp_path / "clips.csv").write_text(manifest)
    words = ["batch", str(tmp_path / "clips.csv"), "--out", str(tmp_path / "out"), *words]
    assert tinct_command(monkeypatch, *words) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("tinct: error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_without_ray_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from tinct.batch.cluster import ray_cluster\n"
        "from tinct.errors import MissingExtraError\n"
        "try:\n"
        "    with ray_cluster(): pass\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "tinct[batch]" in done.stdout
