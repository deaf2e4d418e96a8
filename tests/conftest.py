"""What all tests share: annotations checked at every call, fixed seeds, the training data if it is there."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Before anything imports tinct: from here on its annotations are checked at run time.
install_import_hook("tinct", "beartype.beartype")

# The same examples in every run, however long they take: a change is judged, not the day's luck.
settings.register_profile("tinct", derandomize=True, deadline=None)
settings.load_profile("tinct")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


ONE_PROCESS_A_FIRST_PARAMETER = ("tests/contract/", "tests/methods/test_golden.py")
ONE_PROCESS_A_FOLDER = ("tests/web/browser/", "tests/batch/test_on_ray.py")


def process_scope(nodeid: str) -> str:
    """Tests of one scope run in one process: those that share what takes long to make."""
    for folder in ONE_PROCESS_A_FOLDER:
        if nodeid.startswith(folder):
            return folder
    if nodeid.startswith(ONE_PROCESS_A_FIRST_PARAMETER) and "[" in nodeid:
        path, _, parameters = nodeid.partition("::")[0], *nodeid.partition("[")[1:]
        return f"{path} {parameters.rstrip(']').split('-')[0]}"
    return nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests among processes by `process_scope`."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return process_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, alone or in the whole run, on few threads."""
    random.seed(0)
    np.random.seed(0)
    # Tests of masks and videos do without torch, and should not wait for its import.
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
        torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of training data (`davis-2016`, `stills`), or a skip by name."""
    if not (DATA / "davis-2016").is_dir():
        pytest.skip("needs the training data next to the checkout")
    return DATA


def _thin_stages() -> dict[str, dict[str, Any]]:
    """timm's options for DyeNet's backbones with few channels and blocks."""
    # Not fewer than 8: the gradient of a strided 1×1 layer of 6 channels crashes oneDNN on AVX2 (torch 2.15).
    widths = ((64, 8, 2), (8, 8, 2), (8, 10, 2), (10, 10, 1), (10, 10, 1), (10, (10, 12, 12), 2))
    blocks = [{"in_chs": before, "out_chs": after, "stride": stride} for before, after, stride in widths]
    last = {"in_chs": 12, "out_chs": (14, 14, 16), "stride": 1, "no_skip": True, "start_with_relu": False}
    return {
        "resnet101": {"layers": (1, 1, 2, 1), "channels": (2, 3, 4, 5)},
        "xception65": {"block_cfg": [*blocks, last]},
    }


@pytest.fixture(scope="session")
def thin_networks() -> Callable[[], AbstractContextManager[None]]:
    """`with thin_networks():` the papers' networks are made with few channels, but all their layers."""

    @contextmanager
    def thin() -> Iterator[None]:
        from tinct.networks import deeplab_v2, staged_backbones, two_streams, vgg

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vgg, "STAGES", ((4, 4), (6, 6), (8, 8, 8), (8, 8, 8), (8, 8, 8)))
            patch.setattr(deeplab_v2, "BRANCH_CHANNELS", 8)
            patch.setattr(two_streams, "PAPER_HIDDEN", 16)
            for name, sizes in _thin_stages().items():
                staged = replace(staged_backbones.STAGED[name], frozen=1, sizes=sizes)
                patch.setitem(staged_backbones.STAGED, name, staged)
            yield

    return thin


@pytest.fixture(scope="session")
def masked_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with masks, half of them held out: in each half eight show an object, two show none."""
    import cv2
    import numpy

    from tinct.data.held_out import held_out
    from tinct.data.static_images import Still

    root = tmp_path_factory.mktemp("photos")
    for kind in ("images", "masks"):
        (root / "things" / kind).mkdir(parents=True)
    made = {True: 0, False: 0}
    for number in range(1000):
        name = f"photo{number:03d}"
        half = held_out(Still(root / "things" / "images" / f"{name}.png", root))
        if made[half] == 10:
            continue
        draws = numpy.random.default_rng(number)
        coarse = draws.integers(0, 256, (13, 20, 3), numpy.uint8)
        image = cv2.resize(coarse, (320, 200), interpolation=cv2.INTER_CUBIC)
        labels = numpy.zeros((200, 320), numpy.uint8)
        if made[half] < 8:
            size = (int(draws.integers(36, 50)), int(draws.integers(40, 60)))
            cv2.ellipse(labels, (120, 100), size, float(draws.integers(180)), 0, 360, 1, -1)
            image[labels > 0] = image[labels > 0] // 4 + draws.integers(0, 190, 3).astype(numpy.uint8)
        cv2.imwrite(str(root / "things" / "images" / f"{name}.png"), image)
        cv2.imwrite(str(root / "things" / "masks" / f"{name}.png"), labels)
        made[half] += 1
    return root
