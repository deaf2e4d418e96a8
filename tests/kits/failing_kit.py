"""Every call that can fail, fails once: the n-th write, rename, flush or allocation, for all n."""

from __future__ import annotations

import builtins
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tinct.errors import TinctError

MOST_CALLS = 300
"""More than any of the small runs makes."""

Target = tuple[Any, str]
"""An owner, and the name of its function."""

DISK_CALLS: dict[str, Target] = {
    "replace": (os, "replace"),
    "fsync": (os, "fsync"),
    "mkstemp": (tempfile, "mkstemp"),
    "mkdtemp": (tempfile, "mkdtemp"),
    "mkdir": (Path, "mkdir"),
    "open for writing": (builtins, "open"),
    "Path.open for writing": (Path, "open"),
    "write_text": (Path, "write_text"),
    "write_bytes": (Path, "write_bytes"),
    "chmod": (Path, "chmod"),
    "unlink": (Path, "unlink"),
    "PIL save": (Image.Image, "save"),
}
"""What writes to the disk, by its name in the report of a test."""


def full_disk() -> OSError:
    """What the system says when no space is left."""
    return OSError(errno.ENOSPC, "No space left on device")


class Failing:
    """A function whose n-th call fails, and no other.

    Args:
        target: The function.
        n: Which call, from 1.
        error: What is raised.
    """

    def __init__(self, target: Target, n: int, error: BaseException) -> None:
        self.target, self.n, self.error, self.calls = target, n, error, 0
        self.function: Callable[..., Any] = getattr(*target)

    def __call__(self, *args: Any, **options: Any) -> Any:
        reads = self.target[1] == "open" and not any(mode in str((*args[1:], options)) for mode in "wax+")
        self.calls += not reads
        if self.calls == self.n and not reads:
            raise self.error
        return self.function(*args, **options)

    @property
    def failed(self) -> bool:
        """Whether the call was made."""
        return self.calls >= self.n

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else lambda *args, **options: self(instance, *args, **options)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within this block the function is this one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*self.target, self)
            yield

    def during(self, act: Callable[[], Any]) -> TinctError | None:
        """Act with this function in place; the error of tinct that ended it, if one did."""
        try:
            with self.installed():
                act()
        except TinctError as error:
            return error
        return None


def every_failure(target: Target, make_error: Callable[[], BaseException] = full_disk) -> Iterator[Failing]:
    """A function that fails at its first call, at its second, ..., until it is not called so often."""
    for n in range(1, MOST_CALLS):
        failing = Failing(target, n, make_error())
        yield failing
        if not failing.failed:
            return
    raise AssertionError(f"{target[1]} is called more than {MOST_CALLS} times")


def is_one_line(error: BaseException) -> bool:
    """Whether a message is one line that says something."""
    return bool(str(error)) and "\n" not in str(error)
