"""The core without its extras: where torch, torchvision and timm are missing, films are still segmented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tinct.io.mask_files import write_mask

MISSING = ("torch", "torchvision", "timm", "jaxtyping", "matplotlib", "huggingface_hub", "onnx")

WITHOUT = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import tinct.zoo.backends
tinct.zoo.backends.installed = lambda module: module not in {MISSING!r}
"""

SERVE = """
import json, threading, urllib.request
from tinct.cli import main
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.server import ServerOptions, serve
from pathlib import Path
def say(line):
    address = next(word for word in line.split() if word.startswith("http"))
    def ask():
        page = urllib.request.urlopen(address, timeout=20).read()
        print("PAGE", len(page) > 500, flush=True)
        import os, signal
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=ask, daemon=True).start()
options = ServerOptions((), port=0, browser=False, config=SegmenterConfig(), projects=Path("projects"))
serve(options, say)
"""


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT + code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def tinct(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "from tinct.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one sequence: a box on a texture that moves."""
    root = tmp_path_factory.mktemp("core")
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC)
    for part in ("frames", "truth/box"):
        (root / part).mkdir(parents=True)
    for t in range(3):
        cv2.imwrite(str(root / f"frames/{t:05d}.png"), np.roll(texture, 3 * t, 1))
        labels = np.zeros((48, 64), np.uint8)
        labels[10:34, 8 + 3 * t : 36 + 3 * t] = 1
        write_mask(root / f"truth/box/{t:05d}.png", labels)
    return root


@pytest.fixture(scope="module")
def segmented(folder: Path) -> Path:
    done = tinct(folder, "segment", "frames", "--mask", "truth/box/00000.png", "--out", "found/box")
    assert done.returncode == 0, done.stderr
    return folder / "found/box"


def test_what_masks_of_images_do_not_need_is_not_loaded(folder: Path) -> None:
    arguments = ("segment", "frames", "--mask", "truth/box/00000.png", "--out", "quick", "--no-overlay")
    unused = (
        "av",
        "rich.console",
        "PIL.PdfImagePlugin",
        "pandas",
        "scipy",
        "matplotlib",
        "safetensors.torch",
    )
    code = f"sys.argv[1:] = {arguments!r}\nfrom tinct.cli import main\n"
    code += f"try: main()\nfinally: print('loaded', [name for name in {unused!r} if name in sys.modules])"
    done = run(folder, code)
    assert done.stdout.splitlines()[-1] == "loaded []", done.stderr


def test_a_video_is_segmented_and_the_record_says_in_what(segmented: Path) -> None:
    record = json.loads((segmented / "run.json").read_text())
    assert record["run"]["backend"] == "onnx"
    assert "onnxruntime" in record["versions"]
    assert "torch" not in record["versions"]
    assert len(list((segmented / "masks").glob("*.png"))) == 3


def test_masks_are_scored(folder: Path, segmented: Path) -> None:
    done = tinct(folder, "score", str(segmented / "masks"), "truth/box", "--protocol", "plain")
    assert done.returncode == 0, done.stderr
    assert "J" in done.stdout


def test_a_run_is_exported(folder: Path, segmented: Path) -> None:
    done = tinct(folder, "export", str(segmented), "--to", "coco", "--out", "masks.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "masks.json").read_text())["annotations"]


def test_the_page_is_served(folder: Path) -> None:
    pytest.importorskip("starlette")
    done = run(folder, SERVE)
    assert "PAGE True" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--method", "osvos"), ("--backend", "torch"), ("--device", "cuda"), ("--variant", "xception65")],
)
def test_what_needs_torch_says_so_in_one_line(folder: Path, arguments: tuple[str, str]) -> None:
    done = tinct(folder, "segment", "frames", "--mask", "truth/box/00000.png", "--out", "no", *arguments)
    assert done.returncode == 1
    assert "pip install 'tinct[torch]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2  # the first names the mask's frame
