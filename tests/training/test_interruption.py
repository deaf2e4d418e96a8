from __future__ import annotations

import os
import signal
import threading

import pytest

from tinct.training.interruption import Interruption, catch_interruption


def test_a_signal_is_noted_and_a_second_ctrl_c_obeyed() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with catch_interruption() as noted:
        assert noted.signal_number is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert noted.signal_number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_other_threads_leave_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with catch_interruption() as noted:
            seen.append((noted, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(Interruption(None), before)]
