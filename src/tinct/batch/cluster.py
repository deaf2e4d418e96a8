"""Ray: started on this machine, or a cluster that is joined; quiet, and without statistics for its makers."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tinct.batch.secrets import redacted
from tinct.errors import OptionError
from tinct.io.optional import import_optional

LOCAL = "local"
"""The address for a Ray of our own on this machine."""

_STORE_BYTES = 128 * 2**20
"""What a Ray of our own gets for objects: rows and results are small, and videos never pass through it."""


def ray_module(what: str = "`tinct batch`") -> Any:
    """The package Ray; OptionError if it is not installed."""
    # Read when Ray is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    return import_optional("ray", "batch", what)


@contextmanager
def ray_cluster(
    address: str | None = None, *, dashboard: bool = False, cpus: int | None = None
) -> Iterator[Any]:
    """Within this block Ray runs; yields the package. A Ray that the caller has started already is used.

    Args:
        address: `local`, or a cluster's, such as `auto`, `10.0.0.1:6379` or `ray://10.0.0.1:10001`; None for
            that of RAY_ADDRESS, or else `local`.
        dashboard: Whether a Ray of our own shows its dashboard.
        cpus: The processors of a Ray of our own; all that this process may use if None.

    Raises:
        OptionError: Ray is not installed, does not start, or the cluster cannot be joined: nobody answers, or
            it has another version of Python or Ray.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    _hush(ray)
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        with _own_signal_handlers():
            if address == LOCAL:
                ray.init(
                    address=LOCAL,
                    num_cpus=cpus or _processors(),
                    include_dashboard=dashboard,
                    object_store_memory=_STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
            else:
                _check_answers(address)
                ray.init(address=address, **quiet)
    except Exception as error:
        raise OptionError(_why_not(address, error)) from None
    try:
        yield ray
    finally:
        with _own_signal_handlers():
            ray.shutdown()


def _check_answers(address: str) -> None:
    """OSError if nobody listens there; Ray itself would try for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _hush(ray: Any) -> None:
    """Ray prints a paragraph on stdout for every process that dies; whoever gave it work is told anyway."""
    for name in ("ray", "ray._private.authentication.authentication_token_setup"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with suppress(AttributeError):
        ray._private.worker.print_to_stdstream = lambda *_, **__: None


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _why_not(address: str, error: Exception) -> str:
    # Ray tells of another Python or Ray over several lines.
    text = redacted(" ".join(str(error).split())) or type(error).__name__
    if "ersion mismatch" in text:
        found = re.search(r"[Vv]ersion mismatch.*", text)
        return (
            f"The Ray cluster {redacted(address)} has another version than this machine: "
            f"{found[0] if found else text} Use the same versions of Python, Ray and tinct on all machines."
        )
    if address == LOCAL:
        return f"Ray does not start on this machine: {text[:300]}"
    return (
        f"The Ray cluster {redacted(address)} cannot be joined: {text[:300]} Check the address (--ray, "
        "RAY_ADDRESS) and that `ray status` answers there."
    )


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Ray puts a handler of its own for SIGTERM, which would end the process without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
