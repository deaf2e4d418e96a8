"""Routes for finishing, its preview, whether soft masks are stored, and the list of exports."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tinct.errors import OptionError
from tinct.ops.finishing import rule_of
from tinct.web.http_errors import NotFoundError
from tinct.web.labelled import finished_alpha
from tinct.web.picture_routes import cache_headers, etag_of
from tinct.web.project import Project
from tinct.web.services import apply_change, document_after, json_of, project_of, services_of

MAX_RULES = 100
"""Of one object."""


async def set_finishing(request: Request) -> Response:
    """Replace the rules by which an object's masks are finished; `rules` is a list, each for some frames."""
    values, object_id = await json_of(request), request.path_params["object"]
    given = values.get("rules")
    if not isinstance(given, list) or not all(isinstance(rule, dict) for rule in given):
        raise OptionError(f"The rules {str(given)[:80]!r} came; expected a list of objects.")
    if len(given) > MAX_RULES:
        raise OptionError(f"{len(given)} rules came; an object may have {MAX_RULES}.")
    rules: list[dict[str, Any]] = []
    for rule in given:
        document = rule_of({**rule, "objects": None}).document()
        document.pop("objects")
        rules.append(document)
    return await document_after(request, lambda project: project.set_finishing(object_id, rules))


async def alpha(request: Request) -> Response:
    """The finished alpha of the objects `objects` (ids with commas) in a frame, as PNG."""
    project, index = project_of(request), request.path_params["frame"]
    project.check_frame(index)
    given = request.query_params.get("objects", "")
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in given.split(",") if part):
        raise OptionError(f"The objects {given[:40]!r} came; expected ids with commas between them.")
    ids = [int(part) for part in given.split(",") if part]
    # Steadying looks at other frames, so any change of the project counts.
    etag = etag_of(project.id, index, ids, project.journal.revision, project.mask_key(index))
    headers = cache_headers(etag, 0)
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    frames = services_of(request).frames
    read = partial(frames.image, project.id, project.video)
    png = await run_in_threadpool(finished_alpha, project, index, ids, read)
    return Response(png, media_type="image/png", headers=headers)


async def keep_soft_masks(request: Request) -> Response:
    """Whether runs store the probabilities of their masks, too."""
    keep = (await json_of(request)).get("keep") is True
    return await document_after(request, lambda project: project.file.set_meta("soft_masks", keep))


def list_exports(request: Request) -> Response:
    """The stored exports, the newest first."""
    files = project_of(request).file.files("export")
    return JSONResponse(
        [{"name": each.name, "size": each.size, "created": each.created} for each in reversed(files)]
    )


async def delete_export(request: Request) -> Response:
    """Delete a stored export."""
    name = request.path_params["name"]

    def delete(project: Project) -> None:
        if not any(each.name == name for each in project.file.files("export")):
            raise NotFoundError(f"There is no export {name[:100]!r} in this project.")
        project.file.remove_file("export", name)

    await apply_change(request, delete)
    return Response(status_code=204)


ROUTES = [
    Route("/api/projects/{project}/finishing/{object:int}", set_finishing, methods=["PUT"]),
    Route("/api/projects/{project}/alphas/{frame:int}.png", alpha, methods=["GET"]),
    Route("/api/projects/{project}/soft-masks", keep_soft_masks, methods=["PUT"]),
    Route("/api/projects/{project}/exports", list_exports, methods=["GET"]),
    Route("/api/projects/{project}/exports/{name}", delete_export, methods=["DELETE"]),
]
