"""Which process on which machine: for files that a process may leave behind when it is killed."""

from __future__ import annotations

import hashlib
import os
import socket
import sys


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
