"""Tasks for Ray's processes; nothing here imports torch."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tinct.errors import MaskError


def behave(task: tuple[str, str]) -> tuple[int, str]:
    """ "once" ends the process the first time, "always" every time."""
    what, mark = task
    if what == "always" or (what == "once" and not os.path.exists(mark)):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "error":
        raise MaskError("it is broken")
    time.sleep(0.05)
    return os.getpid(), what
