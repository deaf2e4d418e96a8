"""Errors of requests with their HTTP status, and the status of every other error of tinct."""

from __future__ import annotations

import errno

from tinct.errors import NumericalError, OutputError, TinctError, WeightsError, WorkerError


class CallError(TinctError):
    """A bad request; its text says what came, what was expected, and the fix."""

    status = 400


class NotFoundError(CallError):
    """A project, frame, mask, object or file does not exist."""

    status = 404


class ConflictError(CallError):
    """Another tab holds the writer lock, or another run computes."""

    status = 409


class TooMuchError(CallError):
    """One of `tinct.web.limits` is exceeded."""

    status = 413


def status_of(error: TinctError) -> int:
    """The HTTP status of any error of tinct: 4xx if the sender can fix the request."""
    if isinstance(error, CallError):
        return error.status
    if isinstance(error, OutputError):
        return 507 if is_full_disk(error) else 500
    return 500 if isinstance(error, (NumericalError, WeightsError, WorkerError)) else 400


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or what it arose from, says that no space is left."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__
    return False
