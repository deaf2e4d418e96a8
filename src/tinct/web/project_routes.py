"""The addresses under which people paint: projects, painted frames, objects, undo, who writes."""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tinct.errors import OptionError
from tinct.web.painting import read_painting
from tinct.web.project import Project
from tinct.web.services import (
    body_of,
    changed,
    chunks_of,
    document_of,
    json_of,
    project_of,
    services_of,
    tab_of,
    text,
    whole_number,
)


def list_projects(request: Request) -> Response:
    """All projects."""
    return JSONResponse(services_of(request).library.listed())


async def upload_project(request: Request) -> Response:
    """A new project of an uploaded video."""
    services = services_of(request)
    chunks = chunks_of(request, services.limits.upload_bytes)
    project = await services.library.add_upload(request.headers.get("content-type", ""), chunks)
    return document_of(request, project)


async def remove_project(request: Request) -> Response:
    """Remove a project, and its video if it was uploaded."""
    services = services_of(request)

    def remove(project: Project) -> None:
        if services.runner.computes(project):
            services.runner.cancel(project)
        services.frames.forget(project.id)
        services.library.remove(project)

    await changed(request, remove)
    return Response(status_code=204)


def show_project(request: Request) -> Response:
    """The document of a project."""
    return document_of(request, project_of(request))


async def paint(request: Request) -> Response:
    """A painted frame; answered when it is on disk."""
    index, body = request.path_params["frame"], await body_of(request)

    def change(project: Project) -> None:
        project.check_frame(index)
        project.paint({index: read_painting(body, project.about.size, index)})

    project, _ = await changed(request, change)
    return document_of(request, project)


async def withdraw(request: Request) -> Response:
    """A painted frame is taken back."""
    project, _ = await changed(request, lambda project: project.withdraw(request.path_params["frame"]))
    return document_of(request, project)


async def add_object(request: Request) -> Response:
    """A new object."""
    values = await json_of(request)
    name, colour = text(values, "name"), _colour(text(values, "colour"))
    wanted = None if values.get("id") is None else whole_number(values, "id")
    project, made = await changed(request, lambda project: project.add_object(name, colour, wanted))
    return document_of(request, project, object=made)


async def change_object(request: Request) -> Response:
    """Another name or colour."""
    values = await json_of(request)
    name, colour = text(values, "name"), _colour(text(values, "colour"))
    object_id = request.path_params["object"]
    project, _ = await changed(request, lambda project: project.change_object(object_id, name, colour))
    return document_of(request, project)


async def delete_object(request: Request) -> Response:
    """Take an object away from everywhere."""
    object_id = request.path_params["object"]
    project, _ = await changed(request, lambda project: project.delete_object(object_id))
    return document_of(request, project)


async def undo(request: Request) -> Response:
    """Take the last step back."""
    project, frame = await changed(request, Project.undo)
    return document_of(request, project, frame=frame)


async def redo(request: Request) -> Response:
    """Do it again."""
    project, frame = await changed(request, Project.redo)
    return document_of(request, project, frame=frame)


async def claim(request: Request) -> Response:
    """Make the calling tab the only one that writes."""
    force = (await json_of(request)).get("force") is True
    project = project_of(request)
    await run_in_threadpool(services_of(request).claims.claim, project.id, tab_of(request), force=force)
    return document_of(request, project)


def _colour(given: str | None) -> str | None:
    if given is not None and not re.fullmatch(r"#[0-9a-fA-F]{6}", given):
        raise OptionError(f"The colour {given[:20]!r} came; expected one such as #e0a030.")
    return None if given is None else given.lower()


ROUTES = [
    Route("/api/projects", list_projects, methods=["GET"]),
    Route("/api/projects", upload_project, methods=["POST"]),
    Route("/api/projects/{project}", show_project, methods=["GET"]),
    Route("/api/projects/{project}", remove_project, methods=["DELETE"]),
    Route("/api/projects/{project}/prompts/{frame:int}", paint, methods=["PUT"]),
    Route("/api/projects/{project}/prompts/{frame:int}", withdraw, methods=["DELETE"]),
    Route("/api/projects/{project}/objects", add_object, methods=["POST"]),
    Route("/api/projects/{project}/objects/{object:int}", change_object, methods=["PATCH"]),
    Route("/api/projects/{project}/objects/{object:int}", delete_object, methods=["DELETE"]),
    Route("/api/projects/{project}/undo", undo, methods=["POST"]),
    Route("/api/projects/{project}/redo", redo, methods=["POST"]),
    Route("/api/projects/{project}/claim", claim, methods=["POST"]),
]
