"""Routes for importing masks from other programs, and exporting masks to them."""

from __future__ import annotations

import tempfile
import threading
import warnings
import zipfile
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tinct.errors import MaskError, OptionError, OutputError
from tinct.io.atomic import atomic_write
from tinct.web.http_errors import NotFoundError
from tinct.web.project import Project
from tinct.web.services import (
    apply_change,
    chunks_of,
    document_of,
    json_of,
    project_of,
    services_of,
    text,
    whole_number,
)
from tinct.web.uploads import clean_name, receive

if TYPE_CHECKING:
    from tinct.interchange.imports import Annotations

_RECORDER = threading.Lock()
"""Locked while warnings are recorded: that is a state of the process, not of a thread."""


def list_formats(request: Request) -> Response:
    """The export formats."""
    from tinct.interchange.exports import FORMATS

    return JSONResponse(
        [
            {
                "format": name,
                "title": each.title,
                "extra": each.extra,
                "needs_soft": each.needs_soft,
                "can_be_soft": each.can_be_soft or each.needs_soft,
                "numbered": each.numbered,
                "timed": each.suffix in (".mp4", ".mov"),
            }
            for name, each in FORMATS.items()
        ]
    )


async def export_masks(request: Request) -> Response:
    """Export the masks; the answer comes when the file is complete."""
    from tinct.interchange.exports import parsed_rate

    values, project = await json_of(request), project_of(request)
    to = text(values, "format") or ""
    objects, rate = values.get("objects"), text(values, "rate")
    if objects is not None and not all(isinstance(i, int) for i in objects):
        raise OptionError(f"The objects {str(objects)[:80]} came; expected a list of ids.")
    wanted = ExportRequest(
        to,
        whole_number(values, "first", 0),
        None if values.get("last") is None else whole_number(values, "last"),
        None if objects is None else tuple(objects),
        None if not rate else parsed_rate(rate, "The rate"),
        None if values.get("start") is None else whole_number(values, "start"),
    )
    return JSONResponse({"name": await run_in_threadpool(export_frames, project, wanted)})


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported, and how.

    Args:
        to: The format.
        first: Index of the first frame.
        last: Index of the last frame; None for the video's last.
        objects: Ids of objects; None for all.
        rate: Frames per second; None for the video's own.
        start: Number of the first file; None for the frames' own names.
    """

    to: str
    first: int = 0
    last: int | None = None
    objects: tuple[int, ...] | None = None
    rate: Fraction | None = None
    start: int | None = None

    def name(self, project: Project) -> str:
        """The name of the file or folder."""
        last = project.info.frames - 1 if self.last is None else self.last
        of = "" if self.objects is None else f" of {'+'.join(map(str, self.objects))}"
        return clean_name(f"{Path(project.info.name).stem} {self.to} {self.first}-{last}{of}", "export")


def export_frames(project: Project, wanted: ExportRequest) -> str:
    """Export finished masks of a project; return the name of the file, a ZIP if the format is a folder.

    Edges are soft in every format that can have them, if finishing softens them or soft masks are stored.

    Raises:
        OptionError: The format, range or object does not exist, or there is nothing to export.
        OutputError: The disk is full.
    """
    from tinct.interchange.exports import export, format_of
    from tinct.web.labelled import finishing_rules, labelled_project

    one = format_of(wanted.to)
    source = labelled_project(project).finished(finishing_rules(project))
    if wanted.objects is not None:
        source = source.only(wanted.objects)
    if wanted.rate is not None:
        source = replace(source, rate=wanted.rate)
    if one.needs_soft and source.soft is None:
        raise OptionError(
            "Soft masks were asked for, and edges are hard. Give an object a matte or a feather under "
            "Finishing, or keep soft masks and run again."
        )
    soft = one.can_be_soft and source.soft is not None
    name = wanted.name(project)
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=project.scratch) as work:
            place = Path(work) / name
            made = export(source, one.name, place, wanted.first, wanted.last, soft=soft, start=wanted.start)
            made = _zip_folder(made) if made.is_dir() else made
            project.file.add_file("export", made)
    except OSError as error:
        raise OutputError(
            f"The export cannot be written: {error.strerror}. Free some space and export again."
        ) from error
    return made.name


def _zip_folder(folder: Path) -> Path:
    """A folder as one ZIP without compression, as its pictures are compressed already."""
    target = folder.with_name(folder.name + ".zip")
    with atomic_write(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent).as_posix())
    return target


def download(request: Request) -> Response:
    """Download an exported file."""
    project, name = project_of(request), request.path_params["name"]
    size = next((each.size for each in project.file.files("export") if each.name == name), None)
    if size is None:
        raise NotFoundError(f"There is no export {name[:100]!r} in this project; export it again.")
    headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(name)}"}
    headers |= {"content-length": str(size), "cache-control": "no-store"}
    content = project.file.read_file("export", name)
    return StreamingResponse(content, media_type="application/octet-stream", headers=headers)


async def import_masks(request: Request) -> Response:
    """Import prompts from a file of another program."""
    services, project = services_of(request), project_of(request)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=project.scratch) as work:
        max_bytes = services.limits.body_bytes
        chunks = chunks_of(request, max_bytes)
        upload = await receive(request.headers.get("content-type", ""), chunks, Path(work), max_bytes, 1)
        file = upload.only_file()
        index, replace_all = _number(upload.fields.get("frame", "0")), upload.fields.get("replace") == "true"
        project, (frames, notes) = await apply_change(
            request, lambda project: import_annotations(project, file, index, replace_all=replace_all)
        )
    return document_of(request, project, frame=min(frames, default=None), imported=frames, notes=notes)


def import_annotations(
    project: Project, file: Path, index: int, *, replace_all: bool = False
) -> tuple[list[int], list[str]]:
    """Lay the objects of another program's file over what the frames show.

    Args:
        project: The project.
        file: The file; one that lists its pictures (COCO, CVAT) says itself which frames they are.
        index: The frame for other files, and for a list of one picture that is called like no frame.
        replace_all: Whether a frame shows nothing else then; otherwise pixels without an object in the file
            stay as they were.

    Returns:
        The annotated frames, and what people should know of how the file was read.

    Raises:
        TinctError: The format of the file is unknown, or it does not fit the video.
    """
    project.check_frame(index)
    annotations, notes = _read(project, file, index)
    prompts = {}
    for frame, labels in annotations.prompts.items():
        shown = project.labels(frame)
        prompts[frame] = labels if shown is None or replace_all else np.where(labels == 0, shown, labels)
    project.annotate(prompts, annotations.names)
    return sorted(prompts), notes


def _read(project: Project, file: Path, index: int) -> tuple[Annotations, list[str]]:
    from tinct.interchange.imports import lists_pictures, read_annotations
    from tinct.io.masks import MaskWarning

    known = {object_id: made.name for object_id, made in project.journal.objects.items()}
    read = partial(read_annotations, file, project.video, known=known)
    with _RECORDER, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MaskWarning)
        try:
            annotations = read(frame=None if lists_pictures(file) else index)
        except MaskError:
            caught.clear()
            annotations = read(frame=index)
    return annotations, [str(each.message) for each in caught if issubclass(each.category, MaskWarning)]


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
