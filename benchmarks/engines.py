"""SAM 2 and its kin: tinct's loop against `transformers`' own session, with the same network, in pairs.

    python benchmarks/engines.py --family sam2 --side 512 --objects 1 3 --frames 12 --pairs 3
    python benchmarks/engines.py --memory 1000

Networks have random weights and, but for `--memory`, the architecture of the published ones (SAM 2.1's
Hiera-T, EdgeTAM); seconds do not hang on what the weights are, so none are fetched. `--side` is the network's
own square frame (1024 as published). Each pair runs both loops one after the other over the same frames, the
order changing from pair to pair; the first frames, on which the memory fills, are left out. Written as JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/kits"))

import transformers
from tiny_trackers import TRACKERS, TheirLoop, tiny_tracker

from tinct.networks.sam2.tracker import MemoryTracker, TrackerOptions

SIZE = (480, 854)
FILLING = 7
"""Frames until the memory of features is full."""


def published(family: str, side: int) -> MemoryTracker:
    """A network of the published architecture at a side of its own, with random weights."""
    grid = side // 16
    changes: dict[str, Any] = {
        "image_size": side,
        "memory_attention_rope_feat_sizes": [grid, grid],
        "prompt_encoder_config": {"image_size": side},
    }
    sizes = [[4 * grid] * 2, [2 * grid] * 2, [grid] * 2]
    if family == "sam2":
        backbone = {"model_type": "sam2_hiera_det_model", "image_size": [side, side]}
        vision = {
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_feature_sizes": sizes,
        }
        config = transformers.Sam2VideoConfig(vision_config=vision, **changes)
        network = transformers.Sam2VideoModel(config)
    else:
        backbone = {
            "model_type": "timm_wrapper",
            "architecture": "repvit_m1.dist_in1k",
            "num_classes": 2,
            "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
        }
        vision = {
            "model_type": "edgetam_vision_model",
            "backbone_config": backbone,
            "backbone_feature_sizes": sizes,
        }
        config = transformers.EdgeTamVideoConfig(vision_config=vision, **changes)
        network = transformers.EdgeTamVideoModel(config)
    torch.nn.init.constant_(network.mask_decoder.pred_obj_score_head.proj_out.bias, 1.0)
    return TRACKERS[family](network, TrackerOptions("float32"))


def clip(frames: int, objects: int) -> tuple[list[np.ndarray], dict[int, np.ndarray]]:
    """Noise with squares, and the squares' masks on the first frame."""
    draws = np.random.default_rng(0)
    images = [draws.integers(0, 255, (*SIZE, 3), np.uint8) for _ in range(frames)]
    masks = {i: np.zeros(SIZE, bool) for i in range(1, objects + 1)}
    for object_id, mask in masks.items():
        mask[100:300, 200 * object_id - 100 : 200 * object_id] = True
    return images, masks


def ours(tracker: MemoryTracker, images: list[np.ndarray], masks: dict[int, np.ndarray]) -> list[float]:
    """Seconds of every frame by our loop, preparation of the frame included."""
    state, seconds = None, []
    for index, image in enumerate(images):
        began = time.perf_counter()
        state, _ = tracker._advanced(state, image, masks if index == 0 else {})
        seconds.append(time.perf_counter() - began)
    return seconds


def theirs(tracker: MemoryTracker, images: list[np.ndarray], masks: dict[int, np.ndarray]) -> list[float]:
    """The same by their session."""
    loop, seconds = TheirLoop(tracker, SIZE), []
    for index, image in enumerate(images):
        began = time.perf_counter()
        loop.step(image, masks if index == 0 else {}, {}, index)
        seconds.append(time.perf_counter() - began)
    return seconds


def compared(tracker: MemoryTracker, objects: int, frames: int, pairs: int) -> dict[str, Any]:
    """Medians of both loops, and the ratios of the pairs."""
    images, masks = clip(frames, objects)
    medians: dict[str, list[float]] = {"ours": [], "theirs": []}
    for pair in range(pairs):
        for name in ("ours", "theirs") if pair % 2 else ("theirs", "ours"):
            seconds = (ours if name == "ours" else theirs)(tracker, images, masks)
            medians[name].append(statistics.median(seconds[FILLING:]))
    ratios = [own / other for own, other in zip(medians["ours"], medians["theirs"], strict=True)]
    return {
        "objects": objects,
        "seconds_ours": round(statistics.median(medians["ours"]), 4),
        "seconds_theirs": round(statistics.median(medians["theirs"]), 4),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def state_bytes(value: Any) -> int:
    """Bytes behind the tensors of a state or a session."""
    seen: set[int] = set()
    waiting, total = [value], 0
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            storage = item.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                total += storage.nbytes()
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, (tuple, list)):
            waiting += item
        elif hasattr(item, "__dict__") and not isinstance(item, torch.nn.Module):
            waiting += vars(item).values()
    return total


def memory(frames: int) -> dict[str, Any]:
    """Bytes of our state and of their session after a tenth of the frames, and after all."""
    tracker = tiny_tracker("sam2")
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:30] = True
    loop, state, found = TheirLoop(tracker, (48, 64)), None, {}
    for index in range(frames):
        state, _ = tracker._advanced(state, np.roll(image, index, 1), {1: mask} if index == 0 else {})
        loop.step(np.roll(image, index, 1), {1: mask} if index == 0 else {}, {}, index)
        if index + 1 in (frames // 10, frames):
            found[index + 1] = {"ours": state_bytes(state), "theirs": state_bytes(loop.session)}
    return {"bytes_after_frames": found}


def main() -> None:
    """Measure, print and write."""
    words = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words.add_argument("--family", choices=("sam2", "edgetam"), default="sam2")
    words.add_argument("--side", type=int, default=1024)
    words.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    words.add_argument("--frames", type=int, default=12)
    words.add_argument("--pairs", type=int, default=3)
    words.add_argument("--memory", type=int, metavar="FRAMES", help="bytes of states instead of seconds")
    words.add_argument("--out", type=Path)
    chosen = words.parse_args()
    result: dict[str, Any] = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
    if chosen.memory:
        result |= memory(chosen.memory)
    else:
        tracker = published(chosen.family, chosen.side)
        result |= {"family": chosen.family, "side": chosen.side}
        result["runs"] = [compared(tracker, n, chosen.frames, chosen.pairs) for n in chosen.objects]
    text = json.dumps(result, indent=2)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
