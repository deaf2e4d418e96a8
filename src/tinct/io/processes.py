"""Which process on which machine, what an error says in another one, and how much memory one takes."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path


def host_name() -> str:
    """The name of this machine, as its network knows it."""
    return socket.gethostname() or "localhost"


def process_tag() -> str:
    """This process in letters that any file name may hold: host and process id."""
    return f"{host_tag()}-{os.getpid()}"


def host_tag() -> str:
    """This machine in eight hexadecimal digits."""
    return hashlib.sha256(host_name().encode()).hexdigest()[:8]


def is_running(pid: int) -> bool:
    """Whether a process of this machine is alive, whoever owns it."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        # There, os.kill would end it.
        import ctypes

        still_active, query_limited_information = 259, 0x1000
        kernel, code = ctypes.windll.kernel32, ctypes.c_ulong()
        handle = kernel.OpenProcess(query_limited_information, False, pid)
        try:
            return bool(handle and kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and (
                code.value == still_active
            )
        finally:
            kernel.CloseHandle(handle)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def portable(error: Exception, where: str) -> Exception:
    """An error with its traceback as a note, in a form that surely arrives in another process.

    Args:
        error: What was raised.
        where: It was raised there, for the note: "the worker process".
    """
    text = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"In {where}:\n{text}")
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error


def begin_memory_peak() -> None:
    """Let `memory_peak_mb` begin anew, where the system can do that (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory_peak_mb() -> float | None:
    """The most resident memory of this process since `begin_memory_peak`, in MB; None if unknown."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None
