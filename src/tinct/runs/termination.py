"""SIGTERM and SIGHUP end a run as Ctrl-C does, so that it can leave its state behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came.

    Args:
        signal_number: Which; a shell expects the exit code 128 + that.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"{signal.Signals(signal_number).name} came")
        self.signal_number = signal_number


def signal_number_of(interruption: BaseException) -> int:
    """The signal that an interruption stands for: SIGINT, unless it says otherwise."""
    return int(getattr(interruption, "signal_number", signal.SIGINT))


@contextmanager
def terminations() -> Iterator[None]:
    """Within this block SIGTERM and SIGHUP raise `Terminated` in the main thread, the first time they come.

    Whoever sends one often sends another, as a closed terminal does; that must not cut short the saving of
    the state. A signal that is ignored stays so (`nohup`), and outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            raise Terminated(number)

    # Windows has no SIGHUP.
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
