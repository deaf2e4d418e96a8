"""What all routes share: the parts of the server, reading bodies, and making answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tinct.errors import OptionError
from tinct.web.events import Events
from tinct.web.frames import FrameCache
from tinct.web.http_errors import CallError, TooMuchError
from tinct.web.library import Library
from tinct.web.limits import Limits, in_units
from tinct.web.project import Project
from tinct.web.project_document import document
from tinct.web.runner import Runner
from tinct.web.writer_locks import WriterLocks

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """The parts of one server.

    Attributes:
        promptable: A name of `zoo.PROMPTABLE_NAMES` that answers clicks, boxes and scribbles; None for the
            page's method if it takes clicks, else the zoo's default.
    """

    limits: Limits
    library: Library
    runner: Runner
    events: Events
    writer_locks: WriterLocks
    frames: FrameCache
    promptable: str | None = None


def services_of(request: Request) -> Services:
    """The server's parts."""
    services: Services = request.app.state.services
    return services


def project_of(request: Request) -> Project:
    """The project that the URL names."""
    return services_of(request).library.get(request.path_params["project"])


def document_of(request: Request, project: Project, **more: Any) -> Response:
    """An answer with the project's document and further fields."""
    writer = services_of(request).writer_locks.writer(project.id)
    return JSONResponse({**document(project), "writer": writer, **more})


async def apply_change(request: Request, change: Callable[[Project], T]) -> tuple[Project, T]:
    """Make a change in the project that the URL names, as its writer, and publish it to every tab.

    Raises:
        ConflictError: Another tab writes.
    """
    services, project = services_of(request), project_of(request)
    services.writer_locks.acquire(project.id, tab_of(request), force=False)
    result = await run_in_threadpool(change, project)
    await run_in_threadpool(services.runner.follow_prompts, project)
    services.events.publish(project.id, "project")
    return project, result


async def document_after(request: Request, change: Callable[[Project], object]) -> Response:
    """`apply_change`, answered with the project's document."""
    project, _ = await apply_change(request, change)
    return document_of(request, project)


def tab_of(request: Request) -> str:
    """The id of the tab that sent the request."""
    return request.headers.get("x-tinct-tab", "")


async def chunks_of(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body in chunks.

    Raises:
        TooMuchError: It is longer than `max_bytes`; raised before it is read where the call says its length.
    """
    announced = request.headers.get("content-length", "0")
    received = int(announced) if announced.isdigit() else 0
    _check_length(received, max_bytes)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        _check_length(received, max_bytes)
        yield chunk


def _check_length(received: int, max_bytes: int) -> None:
    if received > max_bytes:
        raise TooMuchError(
            f"A body of more than {in_units(max_bytes)} came, the most that this server takes here. Make it "
            "smaller; limits are options of `tinct app`."
        )


async def body_of(request: Request) -> bytes:
    """The body in memory, up to the limit."""
    return b"".join([chunk async for chunk in chunks_of(request, services_of(request).limits.body_bytes)])


async def json_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object; an empty one is {}.

    Raises:
        CallError: The body is no JSON object.
    """
    body = await body_of(request)
    try:
        values = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise CallError(f"A body came that is no JSON ({error}); send an object.") from error
    if not isinstance(values, dict):
        raise CallError(f"A body of the JSON type {type(values).__name__} came; send an object.")
    return values


def whole_number(values: dict[str, Any], name: str, default: int | None = None) -> int:
    """A whole number of a JSON body.

    Raises:
        OptionError: The field is missing, or is no whole number.
    """
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"The field {name!r} is {value!r}; expected a whole number.")
    return value


def text(values: dict[str, Any], name: str) -> str | None:
    """A text of a JSON body; None if it is missing or null.

    Raises:
        OptionError: The field is no text.
    """
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise OptionError(f"The field {name!r} is {value!r}; expected a text.")
    return value
