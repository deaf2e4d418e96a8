"""Other networks' seconds per frame against tinct's default, on one processor, in one run.

    git clone https://github.com/hkchengrex/Cutie
    git clone https://github.com/yoxu515/aot-benchmark
    pip install hydra-core 'tinct[engines]'
    python benchmarks/peers.py --cutie Cutie --deaot aot-benchmark --objects 1 3 --json peers.json

| row | what runs |
|---|---|
| `cutie-small` | Cutie's `InferenceCore`, `model=small`, configured for DAVIS-2017 (memory every 5 frames) |
| `deaot-t` | aot-benchmark's engine with `deaott`, at its own size for 480 rows (481×849) |
| `sam2.1-tiny`, `edgetam` | the session that `transformers` has for each, at the network's side of 1024 |

Nothing is fetched: the folders are the reader's, networks have random weights, on which seconds hang hardly,
and what would download weights is switched off. A peer that is not there is skipped, by name. Each row is a
process of its own with one thread, and right before it tinct's default is measured likewise: ratios are of
neighbours. Frames are the generated ones of `speed.py`, 854×480; those before the warm-up's end, on which
memories fill, do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from processor import processor_name
from speed import HEIGHT, WIDTH, MovingShapes, in_fresh_process

Step: TypeAlias = Callable[[np.ndarray, np.ndarray | None], Any]
"""A frame uint8 RGB [H, W, 3], and on the first one its labels [H, W], to whatever masks the peer gives."""

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and spread."""

DEAOT_SIZE = 481, 849
"""What aot-benchmark makes of 480×854: sides of 16 n + 1, as corners are aligned."""

SIDE = 1024
"""Of SAM 2's and EdgeTAM's square frames."""


def tinct_step(folder: Path | None, objects: int) -> Step:
    """Tinct's default preset, with its own choice of backend."""
    from tinct.zoo import build_segmenter

    segmenter: Any = build_segmenter("feelvos", device="cpu")
    state: Any = None

    def step(frame: np.ndarray, labels: np.ndarray | None) -> Any:
        nonlocal state
        if labels is not None:
            state = segmenter.start(frame, labels)
            return labels
        state, masks = segmenter.step(state, frame)
        return masks.label_map

    return step


def cutie_step(folder: Path, objects: int) -> Step:
    """Cutie-small from a clone of its repository."""
    import torch

    sys.path.insert(0, str(folder))
    from cutie.inference.inference_core import InferenceCore
    from cutie.inference.utils.args_utils import get_dataset_cfg
    from cutie.model.cutie import CUTIE
    from cutie.model.utils import resnet
    from hydra import compose, initialize_config_dir

    # Its encoders begin from ImageNet's weights, which would be fetched.
    resnet.model_zoo.load_url = lambda *_, **__: {}
    resnet.load_weights_add_extra_dim = lambda *_: None
    with initialize_config_dir(str((folder / "cutie/config").resolve()), version_base="1.3.2"):
        config = compose("eval_config", overrides=["model=small"])
    get_dataset_cfg(config)
    core = InferenceCore(CUTIE(config).eval(), cfg=config)

    def step(frame: np.ndarray, labels: np.ndarray | None) -> Any:
        pixels = torch.from_numpy(frame).permute(2, 0, 1).float() / 255
        if labels is None:
            return core.step(pixels).argmax(0)
        return core.step(pixels, torch.from_numpy(labels).long(), objects=list(range(1, objects + 1)))

    return step


def deaot_step(folder: Path, objects: int) -> Step:
    """DeAOT-T from a clone of aot-benchmark."""
    import torch
    from torch.nn.functional import interpolate

    sys.path.insert(0, str(folder))
    from configs.default import DefaultEngineConfig
    from networks.engines import build_engine
    from networks.models import build_vos_model

    config = DefaultEngineConfig("peers", "deaott")
    network = build_vos_model(config.MODEL_VOS, config).eval()
    gap = config.TEST_LONG_TERM_MEM_GAP
    engine = build_engine(
        config.MODEL_ENGINE, phase="eval", aot_model=network, gpu_id=0, long_term_mem_gap=gap
    )
    engine.restart_engine()
    mean, spread = (torch.tensor(each).reshape(3, 1, 1) for each in IMAGENET)

    def step(frame: np.ndarray, labels: np.ndarray | None) -> Any:
        pixels = (torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255 - mean) / spread
        pixels = interpolate(pixels, DEAOT_SIZE, mode="bilinear", align_corners=True)
        if labels is not None:
            given = interpolate(torch.from_numpy(labels)[None, None].float(), DEAOT_SIZE, mode="nearest")
            return engine.add_reference_frame(pixels, given, frame_step=0, obj_nums=[objects])
        engine.match_propogate_one_frame(pixels)
        found = engine.decode_current_logits((HEIGHT, WIDTH)).argmax(1, keepdim=True)
        engine.update_memory(interpolate(found.float(), engine.input_size_2d, mode="nearest"))
        return found

    return step


def session_step(family: str, side: int, objects: int) -> Step:
    """SAM 2.1 tiny or EdgeTAM in the session of `transformers`."""
    from engines import SIZE, TheirLoop, published

    assert SIZE == (HEIGHT, WIDTH)
    loop, index = TheirLoop(published(family, side), SIZE), -1

    def step(frame: np.ndarray, labels: np.ndarray | None) -> Any:
        nonlocal index
        index += 1
        masks = {} if labels is None else {i: labels == i for i in range(1, objects + 1)}
        return loop.step(frame, masks, {}, index)

    return step


def seconds_per_frame(name: str, folder: Path | None, objects: int, chosen: dict[str, Any]) -> float:
    """Median processor seconds of a peer's frames after the warm-up, in this process with one thread."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    makers: dict[str, Callable[[], Step]] = {
        "tinct": lambda: tinct_step(None, objects),
        "cutie-small": lambda: cutie_step(_given(folder), objects),
        "deaot-t": lambda: deaot_step(_given(folder), objects),
        "sam2.1-tiny": lambda: session_step("sam2", chosen["side"], objects),
        "edgetam": lambda: session_step("edgetam", chosen["side"], objects),
    }
    clip, seconds = MovingShapes(HEIGHT, WIDTH, objects), []
    with torch.inference_mode():
        step = makers[name]()
        for index in range(chosen["warm_up"] + chosen["frames"]):
            frame, labels = clip.frame(index)
            began = time.process_time()
            step(frame, labels if index == 0 else None)
            seconds.append(time.process_time() - began)
    return statistics.median(seconds[chosen["warm_up"] :])


def _given(folder: Path | None) -> Path:
    if folder is None or not folder.is_dir():
        raise FileNotFoundError("no folder with its repository was named" if folder is None else str(folder))
    return folder


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cutie", type=Path, metavar="FOLDER", help="a clone of hkchengrex/Cutie")
    parser.add_argument("--deaot", type=Path, metavar="FOLDER", help="a clone of yoxu515/aot-benchmark")
    names = ("cutie-small", "deaot-t", "edgetam", "sam2.1-tiny")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these rows (default: all)")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--side", type=int, default=SIDE, help="of SAM 2's and EdgeTAM's frames")
    parser.add_argument("--warm-up", type=int, default=8, help="frames before the clock (default: 8)")
    parser.add_argument("--frames", type=int, default=10, help="frames that count (default: 10)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    return parser.parse_args()


def main() -> None:
    """Print the table row by row."""
    chosen = vars(arguments())
    folders = {"cutie-small": chosen["cutie"], "deaot-t": chosen["deaot"]}
    print(f"{processor_name()}, one thread")
    print(f"{'peer':<14}{'objects':>8}{'seconds':>10}{'tinct':>10}{'ratio':>8}")
    rows = []
    for name in chosen["only"]:
        for objects in chosen["objects"]:
            try:
                if name in folders:
                    _given(folders[name])
                own = in_fresh_process(seconds_per_frame, "tinct", None, objects, chosen)
                theirs = in_fresh_process(seconds_per_frame, name, folders.get(name), objects, chosen)
            except (ImportError, OSError) as error:
                print(f"{name:<14}skipped: {error}", flush=True)
                break
            rows.append(
                {"peer": name, "objects": objects, "seconds": theirs, "tinct": own, "ratio": theirs / own}
            )
            print(f"{name:<14}{objects:>8}{theirs:>10.3f}{own:>10.3f}{theirs / own:>8.1f}", flush=True)
    if chosen["json"] is not None:
        report = {"processor": processor_name(), "rows": rows}
        chosen["json"].write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
