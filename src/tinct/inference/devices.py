"""Where a segmenter runs: the device of a name, and the same segmenter on another one."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from tinct.errors import OptionError, near_match
from tinct.io.optional import import_optional

if TYPE_CHECKING:
    import torch

Moved = TypeVar("Moved", bound="OnDevice")


def resolve_device(device: str | torch.device) -> torch.device:
    """The device itself, or the one of that name; `auto` is CUDA, else Apple's MPS, else the processor.

    Raises:
        OptionError: The name means nothing to torch, or this machine lacks the device.
    """
    import_optional("torch", "torch", f"The device {str(device)!r}")
    import torch

    name = str(device)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise OptionError(
            f"There is no device {name!r}. {near_match(name, ['auto', 'cpu', 'cuda', 'cuda:0', 'mps'])}"
        )
    if kind == "cuda" and not cuda:
        raise OptionError(
            f"The device {name!r} was asked for, but torch sees no CUDA device; use --device cpu or auto."
        )
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise OptionError(f"The device {name!r} was asked for, but the last one here is cuda:{last}.")
    if kind == "mps" and not mps:
        raise OptionError(
            "The device 'mps' was asked for, but this machine has none; use --device cpu or auto."
        )
    return torch.device(name)


class OnDevice:
    """What both kinds of segmenter share: they run on a device, and show it.

    A segmenter keeps each parameter of its `__init__` as an attribute of that name; `device`, if it has one,
    is where it runs.
    """

    def to(self: Moved, device: str | torch.device) -> Moved:
        """The same segmenter on another device: a new one, with copies of the weights; this one stays.

        Options, flow and proposals are shared; a precision that was chosen for this device stays.

        Args:
            device: As for `build_segmenter`.

        Raises:
            OptionError: There is no such device, or the segmenter does not say what it is made of.
        """
        made_of: dict[str, Any] = {}
        for name in inspect.signature(type(self)).parameters:
            value = (
                resolve_device(device) if name == "device" else getattr(self, name, inspect.Parameter.empty)
            )
            if value is inspect.Parameter.empty:
                raise OptionError(
                    f"{type(self).__name__} cannot be moved, since it has no attribute {name!r}; build it "
                    f'again: build_segmenter(..., device="{device}").'
                )
            made_of[name] = value.to(device) if isinstance(value, OnDevice) else value
        return type(self)(**made_of)

    def __repr__(self) -> str:
        """The method, what it is built on, and where it runs."""
        holders = ("options", "options.config", "network.config")
        backbones = (_attribute(self, f"{holder}.backbone") for holder in holders)
        backbone = next((found for found in backbones if found is not None), None)
        inner = getattr(self, "segmenter", None)
        device = getattr(self, "device", None) if inner is None else None
        place = None if device is None else f"on {device}"
        words = [str(word) for word in (inner, backbone, place) if word is not None]
        return f"{type(self).__name__}({' '.join(words)})"


def _attribute(thing: Any, dotted: str) -> Any:
    """The value behind names with dots between them; None where there is none."""
    return functools.reduce(lambda found, name: getattr(found, name, None), dotted.split("."), thing)
