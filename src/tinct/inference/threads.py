"""The number of processor threads of this process: torch's, OpenCV's and ONNX Runtime's."""

from __future__ import annotations

import os
import sys

_chosen: int | None = None
_torch_lacks_it = False


def set_threads(threads: int | None) -> None:
    """Set the number; None leaves it as it is. Graphs that run already keep theirs."""
    global _chosen, _torch_lacks_it
    if threads is None:
        return
    import cv2  # not for `tinct --help`

    _chosen, _torch_lacks_it = threads, True
    apply_to_torch()
    cv2.setNumThreads(threads)


def apply_to_torch() -> None:
    """Give torch, once it is loaded, the number that was set before it was."""
    global _torch_lacks_it
    if _torch_lacks_it and _chosen is not None and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(_chosen)
        _torch_lacks_it = False


def thread_count() -> int:
    """Torch's number if it is loaded; else the one that was set, OMP_NUM_THREADS, or this process's cores."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return _chosen or (int(asked) if asked.isdigit() else 0) or cores or 1
