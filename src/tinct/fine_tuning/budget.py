"""How long an object is fine-tuned: steps, seconds, or whichever ends first."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinct.errors import OptionError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Budget:
    """How long an object is fine-tuned; whichever ends first.

    Attributes:
        steps: At most; None leaves it to the seconds.
        seconds: At most; None leaves it to the steps.

    Raises:
        OptionError: Neither, or a number below 0.
    """

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise OptionError("A budget without steps and seconds never ends; give either.")
        if (self.steps or 0) < 0 or (self.seconds or 0) < 0:
            raise OptionError(
                f"A budget of {self.steps} steps and {self.seconds} s came; neither lies below 0."
            )

    @property
    def is_none(self) -> bool:
        """Whether nothing is to be fine-tuned at all."""
        return self.steps == 0 or self.seconds == 0

    @property
    def units(self) -> int:
        """The budget in steps, or in whole seconds if it has no steps; for bars."""
        return self.steps or math.ceil(self.seconds or 0)

    def share(self, steps: int, seconds: float) -> float:
        """The share of the budget that these steps or seconds use up, whichever is more; it ends at 1."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(steps / self.steps if self.steps else 1.0)
        if self.seconds is not None:
            shares.append(seconds / self.seconds if self.seconds else 1.0)
        return max(shares)

    @classmethod
    def parse(cls, text: str, device: torch.device | None = None) -> Budget:
        """`none`, `auto`, a number of steps, or seconds such as `60s`.

        Args:
            text: As people write it.
            device: What `auto` is judged by.

        Raises:
            OptionError: It is none of these.
        """
        if text == "none":
            return cls(steps=0)
        if text == "auto":
            return auto_budget(device)
        number = re.fullmatch(r"(\d+(?:\.\d+)?)s|(\d+)", text, re.ASCII)
        if number is None:
            raise OptionError(
                f"A fine-tuning budget of {text!r} came; give auto, none, a number of steps such as 200, or "
                "seconds such as 60s."
            )
        return cls(seconds=float(number[1])) if number[1] else cls(steps=int(number[2]))

    def __str__(self) -> str:
        """Such as "200 steps", "60 s" or "none"."""
        if self.is_none:
            return "none"
        parts = [f"{self.steps} step{'s' * (self.steps != 1)}"] if self.steps is not None else []
        return " or ".join(parts + ([f"{self.seconds:g} s"] if self.seconds is not None else []))


def auto_budget(device: torch.device | None = None) -> Budget:
    """What fits a device: half a minute of a processor; on a GPU the papers' order of steps, in a minute."""
    if device is not None and device.type != "cpu":
        return Budget(steps=1000, seconds=60.0)
    return Budget(steps=1000, seconds=30.0)
