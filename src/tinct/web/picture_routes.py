"""Routes for images: frames, masks, and outlines that become masks."""

from __future__ import annotations

import hashlib
import threading
from functools import cache
from typing import get_args

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tinct.errors import OptionError, near_match
from tinct.inference.promptable import PromptableSegmenter
from tinct.web.http_errors import NotFoundError
from tinct.web.outline import OutlinePrompt, segment_outline
from tinct.web.project import MaskKind, Project
from tinct.web.prompt_png import png_of
from tinct.web.services import json_of, project_of, services_of, whole_number
from tinct.zoo import build_promptable, promptable_beside


def frame(request: Request) -> Response:
    """A frame as JPEG, in the requested width."""
    project, index = project_of(request), request.path_params["frame"]
    project.check_frame(index)
    wanted = request.query_params.get("width", "0")
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 6):
        raise OptionError(
            f"A frame of the width {wanted[:20]!r} was asked for; expected pixels, such as 640."
        )
    etag = etag_of(project.id, project.info.video, index, wanted)
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=cache_headers(etag, 3600))
    jpeg = services_of(request).frames.jpeg(project.id, project.video, index, int(wanted))
    return Response(jpeg, media_type="image/jpeg", headers=cache_headers(etag, 3600))


def mask(request: Request) -> Response:
    """A frame's label map as PNG: `as=grey` or palette; `of` and `before` as in `Project.source`."""
    project, index = project_of(request), request.path_params["frame"]
    project.check_frame(index)
    query = request.query_params
    grey, of, before = query.get("as") == "grey", _which(query.get("of", "shown")), _run(query.get("before"))
    created = project.file.path.stat().st_ino
    etag = etag_of(project.id, created, index, of, before, grey, project.mask_key(index, before))
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=cache_headers(etag, 0))
    png = _mask_png(project, index, of, before, grey)
    if png is None:
        raise NotFoundError(
            f"Frame {index} has no mask yet: nothing is painted on it, and no run came so far."
        )
    return Response(png, media_type="image/png", headers=cache_headers(etag, 0))


def _mask_png(project: Project, index: int, of: MaskKind, before: int | None, grey: bool) -> bytes | None:
    with project.lock:
        if not (grey or project.deleted_objects):
            return project.png(index, of, before)  # as it is stored
        labels = project.labels(index, of, before)
    return None if labels is None else png_of(labels, grey=grey)


def _run(given: str | None) -> int | None:
    if given is not None and not (given.isascii() and given.isdigit() and len(given) < 10):
        raise OptionError(f"The run {given[:20]!r} was asked for; expected a number.")
    return None if given is None else int(given)


def _which(given: str) -> MaskKind:
    for known in get_args(MaskKind):
        if given == known:
            found: MaskKind = known
            return found
    raise OptionError(f"There is no mask {given[:20]!r} of a frame. {near_match(given, get_args(MaskKind))}")


async def outline(request: Request) -> Response:
    """The mask of one object from a box, scribbles, clicks or a polygon; nothing is stored."""
    values, project = await json_of(request), project_of(request)
    index, prompt = whole_number(values, "frame"), OutlinePrompt.read(values)
    corrects = values.get("corrects")
    found = await run_in_threadpool(
        _outline,
        request,
        project,
        index,
        prompt,
        None if corrects is None else whole_number(values, "corrects"),
    )
    return Response(found, media_type="image/png")


def _outline(
    request: Request, project: Project, index: int, prompt: OutlinePrompt, corrects: int | None
) -> bytes:
    """The PNG of the mask; `corrects` is the object whose mask on the frame points correct."""
    project.check_frame(index)
    image = services_of(request).frames.image(project.id, project.video, index)
    labels = None if corrects is None else project.labels(index, "shown")
    previous = None if labels is None else labels == corrects
    config, named = request.app.state.config, services_of(request).promptable
    weights = None if config.weights is None else str(config.weights)
    with _asking:  # one answer at a time: the segmenter caches what it saw
        segmenter = _promptable(named, config.method, config.variant, weights)
        mask = segment_outline(image, prompt, segmenter, previous)
    return png_of(mask.astype(np.uint8) * np.uint8(255), grey=True)


@cache
def _promptable(
    named: str | None, method: str, variant: str | None, weights: str | None
) -> PromptableSegmenter:
    """One for all projects, built when it is first asked; `named` as in `Services.promptable`."""
    if named is not None:
        return build_promptable(named)
    return promptable_beside(method, variant, weights)


_asking = threading.Lock()


def etag_of(*words: object) -> str:
    """An ETag of everything that an answer depends on."""
    return f'"{hashlib.sha256(repr(words).encode()).hexdigest()[:20]}"'


def cache_headers(etag: str, seconds: int) -> dict[str, str]:
    """Cache headers; after `seconds` the browser validates its copy."""
    return {"etag": etag, "cache-control": f"private, max-age={seconds}" if seconds else "private, no-cache"}


ROUTES = [
    Route("/api/projects/{project}/frames/{frame:int}.jpg", frame, methods=["GET"]),
    Route("/api/projects/{project}/masks/{frame:int}.png", mask, methods=["GET"]),
    Route("/api/projects/{project}/outline", outline, methods=["POST"]),
]
