"""A real server of the page, killed a few times in the middle of its work."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from bench_kit import FOLDER, load_benchmark

pytest.importorskip("starlette", reason="needs the extra [app]")
pytest.importorskip("python_multipart", reason="needs the extra [app]")
pytest.importorskip("uvicorn", reason="needs the extra [app]")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_benchmark("app_kills")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_server_loses_nothing_that_it_confirmed(bench: ModuleType, tmp_path: Path) -> None:
    report = bench.kill_often(tmp_path, kills=2, seed=1, most_s=0.3)
    assert report["lost"] == []
    assert report["painted"] > 0
    assert report["frames_told"] > 0


def test_a_loss_would_be_seen(bench: ModuleType, tmp_path: Path) -> None:
    import numpy as np

    from tinct.web.project_file import new_project_file
    from tinct.web.prompt_png import png_of

    labels = np.zeros((bench.H, bench.W), np.uint8)
    labels[3, 4] = 2

    class Page:
        def call(self, method: str) -> dict[str, list[list[int]] | list[int]]:
            return {"prompts": [0], "done": [[1, 1]]}

        def mask(self, index: int, of: str) -> np.ndarray:
            return labels

    confirmed = bench.Confirmed({0: labels, 5: labels}, None, [], {1: {0: labels}}, {1: 1, 2: 1})
    with new_project_file(tmp_path / "left.tinct") as file:
        file.add_mask(1, 1, png_of(labels, grey=False), 0.5)  # unmoved: not what that run computed
    lost = bench.losses(Page(), tmp_path / "left.tinct", confirmed)
    assert [said for said in lost if "[0, 5] were confirmed" in said]
    assert [said for said in lost if "the mask of frame 1 is not what run 1 computed" in said]
    assert [said for said in lost if "frame 2 of run 1" in said]
    assert len(lost) == 3
