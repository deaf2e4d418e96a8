"""Ctrl-C and SIGTERM during training: noted at once, obeyed after the step, so that no step is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import cv2
import torch


class TrainingInterrupted(KeyboardInterrupt):
    """A run stopped by a signal; its text says where it stands and how to go on.

    Args:
        message: For people.
        signal_number: Which signal it was; a shell expects the exit code 128 + that.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@dataclass
class Interruption:
    """The signal that asked for an end, if one came."""

    signal_number: int | None = None


@contextmanager
def catch_interruption() -> Iterator[Interruption]:
    """Note SIGINT and SIGTERM instead of obeying them; a second SIGINT ends the process as ever.

    Only the main thread may take over signals: in any other one nothing is changed.
    """
    noted = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if noted.signal_number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        noted.signal_number = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start_worker(_worker: int) -> None:
    """Make a data worker modest: one thread, for the cores belong to the network; deaf to signals.

    A terminal sends Ctrl-C to the workers too. They must outlive the step that is under way; they
    end when the loop closes them, or when it is gone.
    """
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
