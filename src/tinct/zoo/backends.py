"""Which backend runs a method: torch, or ONNX Runtime, which the core has without torch."""

from __future__ import annotations

import importlib.util
import platform
import sys
from ctypes.util import find_library
from functools import lru_cache
from pathlib import Path

from tinct.backends import BACKENDS
from tinct.errors import MissingExtraError, OptionError, near_match
from tinct.zoo.methods import METHODS, method_record


def choose_backend(method: str, variant: str, backend: str = "auto", device: str = "auto") -> str:
    """The backend that runs a variant: "torch" or "onnx". Torch is not imported for the answer.

    Args:
        method: A name of `METHODS`.
        variant: One of its variants.
        backend: Of `BACKENDS`. `auto` is torch on an accelerator or where the processor has bfloat16, else
            ONNX Runtime for a variant that has graphs.
        device: As for `build_segmenter`.

    Raises:
        OptionError: There is no such backend, or it cannot run this variant or device.
        MissingExtraError: Torch is needed, and not installed.
    """
    if backend not in BACKENDS:
        raise OptionError(f"There is no backend {backend!r}. {near_match(backend, BACKENDS)}")
    has_graphs = variant in method_record(method).onnx_variants
    on_processor = device in ("auto", "cpu")
    if backend == "onnx" and not has_graphs:
        able = ", ".join(f"{name} {v}" for name, record in METHODS.items() for v in record.onnx_variants)
        raise OptionError(
            f"{method} {variant} does not run in ONNX Runtime; leave --backend onnx out, or take {able}."
        )
    if backend == "onnx" and not on_processor:
        raise OptionError(
            f"The backend onnx runs on the processor, not on {device}; leave one of both options out."
        )
    torch_here = installed("torch")
    graphs_suit = has_graphs and on_processor and not (torch_here and torch_is_faster(device))
    if backend == "onnx" or (backend == "auto" and graphs_suit):
        return "onnx"
    if not torch_here:
        what = f"The device {device}" if has_graphs and not on_processor else f"{method} {variant}"
        raise needs_torch(what)
    return "torch"


def needs_torch(what: str) -> MissingExtraError:
    """The error where something needs torch, which is not installed."""
    return MissingExtraError(
        f"{what} needs torch, which is not installed; `pip install 'tinct[torch]'` brings it."
    )


def installed(module: str) -> bool:
    """Whether a package is there, without importing it."""
    return importlib.util.find_spec(module) is not None


@lru_cache(2)
def torch_is_faster(device: str) -> bool:
    """Whether this machine seems to have an accelerator (of "auto"), or a processor with bfloat16.

    Torch would know, but takes seconds to load; where it is loaded, it is asked.
    """
    if device == "auto" and _has_accelerator():
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _has_accelerator() -> bool:
    torch = sys.modules.get("torch")
    if torch is not None:
        return bool(torch.cuda.is_available() or torch.backends.mps.is_available())
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return Path("/dev/nvidiactl").exists() or find_library("nvcuda") is not None
