"""Routes for annotating: projects, prompts, objects, undo, and the writer lock."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from tinct.errors import OptionError, TinctError, VideoError
from tinct.web.project import Project
from tinct.web.project_file import SUFFIX
from tinct.web.prompt_png import read_prompt_png
from tinct.web.services import (
    apply_change,
    body_of,
    chunks_of,
    document_after,
    document_of,
    json_of,
    project_of,
    services_of,
    tab_of,
    text,
    whole_number,
)
from tinct.web.uploads import clean_name


def list_projects(request: Request) -> Response:
    """All projects."""
    return JSONResponse(services_of(request).library.summaries())


async def upload_project(request: Request) -> Response:
    """Create a project of an uploaded video."""
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
        services.frames.evict(project.id)
        services.library.remove(project)

    await apply_change(request, remove)
    return Response(status_code=204)


def show_project(request: Request) -> Response:
    """A project as JSON, with what people should know of how its frames are read."""
    project = project_of(request)
    remarks: list[str] = []
    with suppress(VideoError):  # explained where its frames are asked for
        remarks += project.video.remarks
    return document_of(request, project, remarks=remarks)


async def paint(request: Request) -> Response:
    """Store a prompt; the answer comes when it is on disk."""
    index, body = request.path_params["frame"], await body_of(request)

    def change(project: Project) -> None:
        project.check_frame(index)
        project.annotate({index: read_prompt_png(body, project.info.size, index)})

    return await document_after(request, change)


async def remove_prompt(request: Request) -> Response:
    """Remove a prompt."""
    index = request.path_params["frame"]
    return await document_after(request, lambda project: project.remove_prompt(index))


async def add_object(request: Request) -> Response:
    """Add an object."""
    values = await json_of(request)
    name, colour = text(values, "name"), _colour(text(values, "colour"))
    wanted = None if values.get("id") is None else whole_number(values, "id")
    project, made = await apply_change(request, lambda project: project.add_object(name, colour, wanted))
    return document_of(request, project, object=made)


async def change_object(request: Request) -> Response:
    """Change the name or the colour of an object."""
    values = await json_of(request)
    name, colour = text(values, "name"), _colour(text(values, "colour"))
    object_id = request.path_params["object"]
    return await document_after(request, lambda project: project.change_object(object_id, name, colour))


async def delete_object(request: Request) -> Response:
    """Delete an object from all prompts and masks."""
    object_id = request.path_params["object"]
    return await document_after(request, lambda project: project.delete_object(object_id))


async def undo(request: Request) -> Response:
    """Undo the last step."""
    project, frame = await apply_change(request, Project.undo)
    return document_of(request, project, frame=frame)


async def redo(request: Request) -> Response:
    """Redo the last step that was undone."""
    project, frame = await apply_change(request, Project.redo)
    return document_of(request, project, frame=frame)


async def lock_frames(request: Request) -> Response:
    """Lock the frames `first` to `last`, or unlock them."""
    values = await json_of(request)
    first = whole_number(values, "first")
    last = whole_number(values, "last", first)
    locked = values.get("locked") is not False
    return await document_after(request, lambda project: project.set_lock(first, last, locked=locked))


async def save_copy(request: Request) -> Response:
    """The project as one file for download; with `embed=1` the video lies in it."""
    project, embed = project_of(request), request.query_params.get("embed") == "1"
    folder = Path(tempfile.mkdtemp(prefix=".part-", dir=project.scratch))
    remove = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    name = clean_name(f"{Path(project.info.name).stem}{SUFFIX}", "project")
    try:
        await run_in_threadpool(project.save_copy, folder / name, embed=embed)
    except TinctError:
        await remove()
        raise
    return FileResponse(folder / name, filename=name, background=remove)


async def acquire_writer_lock(request: Request) -> Response:
    """Give the writer lock to the calling tab."""
    force = (await json_of(request)).get("force") is True
    project = project_of(request)
    await run_in_threadpool(
        services_of(request).writer_locks.acquire, project.id, tab_of(request), force=force
    )
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
    Route("/api/projects/{project}/prompts/{frame:int}", remove_prompt, methods=["DELETE"]),
    Route("/api/projects/{project}/objects", add_object, methods=["POST"]),
    Route("/api/projects/{project}/objects/{object:int}", change_object, methods=["PATCH"]),
    Route("/api/projects/{project}/objects/{object:int}", delete_object, methods=["DELETE"]),
    Route("/api/projects/{project}/locks", lock_frames, methods=["POST"]),
    Route("/api/projects/{project}/copy", save_copy, methods=["GET"]),
    Route("/api/projects/{project}/undo", undo, methods=["POST"]),
    Route("/api/projects/{project}/redo", redo, methods=["POST"]),
    Route("/api/projects/{project}/writer-lock", acquire_writer_lock, methods=["POST"]),
]
