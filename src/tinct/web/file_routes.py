"""The addresses under which masks come in from other programs, and go out to them."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from tinct.errors import OptionError, OutputError
from tinct.io.atomic import atomic_write
from tinct.web.http_errors import NotFoundError
from tinct.web.project import Project
from tinct.web.services import (
    changed,
    chunks_of,
    document_of,
    json_of,
    project_of,
    services_of,
    text,
    whole_number,
)
from tinct.web.uploads import clean_name, receive


def list_formats(request: Request) -> Response:
    """What can be exported to."""
    from tinct.interchange.exports import FORMATS

    return JSONResponse(
        [{"format": name, "title": each.title, "extra": each.extra} for name, each in FORMATS.items()]
    )


async def export_masks(request: Request) -> Response:
    """Export the masks; answered when the file is there."""
    values, project = await json_of(request), project_of(request)
    to = text(values, "format") or ""
    first = whole_number(values, "first", 0)
    last = whole_number(values, "last", project.about.frames - 1)
    name = await run_in_threadpool(exported, project, to, first, last)
    return JSONResponse({"name": name})


def exported(project: Project, to: str, first: int, last: int) -> str:
    """Export some frames of a project; the name of the file among its exports, a ZIP for a folder.

    Raises:
        OptionError: No such format or range, or nothing to export.
        OutputError: The disk is full.
    """
    from tinct.interchange.exports import export
    from tinct.web.labelled import labelled_project

    name = clean_name(f"{Path(project.about.name).stem} {to} {first}-{last}", "export")
    folder = project.folder / "exports"
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as work:
            made = export(labelled_project(project), to, Path(work) / name, first, last)
            made = _zipped(made) if made.is_dir() else made
            made.replace(folder / made.name)
    except OSError as error:
        raise OutputError(
            f"The export cannot be written to {folder}: {error.strerror}. Free some space and export again."
        ) from error
    return made.name


def _zipped(folder: Path) -> Path:
    """A folder as one file, not pressed further: its pictures are pressed already."""
    target = folder.with_name(folder.name + ".zip")
    with atomic_write(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent).as_posix())
    return target


def download(request: Request) -> Response:
    """An exported file."""
    project, name = project_of(request), request.path_params["name"]
    path = project.folder / "exports" / name
    if name != Path(name).name or name.startswith(".") or "\\" in name or not path.is_file():
        raise NotFoundError(f"There is no export {name[:100]!r} in this project; export it again.")
    return FileResponse(path, filename=name, headers={"cache-control": "no-store"})


async def import_masks(request: Request) -> Response:
    """Painted frames from another program's file."""
    services, project = services_of(request), project_of(request)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=project.folder) as work:
        most = services.limits.body_bytes
        chunks = chunks_of(request, most)
        upload = await receive(request.headers.get("content-type", ""), chunks, Path(work), most, 1)
        file = upload.only_file()
        index = _number(upload.fields.get("frame", "0"))
        project, painted = await changed(request, lambda project: imported(project, file, index))
    return document_of(request, project, frame=min(painted, default=None), imported=painted)


def imported(project: Project, file: Path, index: int) -> list[int]:
    """Paint what a file of another program holds over what the frames show; the frames that were painted.

    Raises:
        TinctError: The file is none that is understood, or does not fit the video.
    """
    from tinct.interchange.imports import read_annotations

    project.check_frame(index)
    known = {object_id: made.name for object_id, made in project.journal.objects.items()}
    read = read_annotations(file, project.video, frame=index, known=known)
    paintings = {}
    for frame, labels in read.prompts.items():
        shown = project.labels(frame)
        # What the file does not speak of stays as it was.
        paintings[frame] = labels if shown is None else np.where(labels == 0, shown, labels)
    project.paint(paintings, read.names)
    return sorted(paintings)


def _number(given: str) -> int:
    if not given.isascii() or not given.isdigit():
        raise OptionError(f"The frame {given[:20]!r} came; expected a number from 0.")
    return int(given)


ROUTES = [
    Route("/api/exports", list_formats, methods=["GET"]),
    Route("/api/projects/{project}/export", export_masks, methods=["POST"]),
    Route("/api/projects/{project}/exports/{name}", download, methods=["GET"]),
    Route("/api/projects/{project}/import", import_masks, methods=["POST"]),
]
