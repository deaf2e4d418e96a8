"""The application: its routes, the files of the page, and errors as JSON."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from tinct.errors import TinctError
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web import file_routes, finish_routes, picture_routes, project_routes, run_routes
from tinct.web.http_errors import is_full_disk, status_of
from tinct.web.services import Services

STATIC = Path(__file__).with_name("static")
"""The page: HTML, styles and modules, served as they are."""

_LOG = logging.getLogger(__name__)


class _Page(StaticFiles):
    """The files of the page; browsers validate their copies each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def make_app(services: Services, config: SegmenterConfig) -> Starlette:
    """The application, to be wrapped in `tinct.web.safety.Guard`.

    Args:
        services: The parts of the server.
        config: The default segmenter of runs.
    """
    routes = [
        Route("/", _index, methods=["GET"]),
        *project_routes.ROUTES,
        *run_routes.ROUTES,
        *picture_routes.ROUTES,
        *file_routes.ROUTES,
        *finish_routes.ROUTES,
        Mount("/static", _Page(directory=STATIC, check_dir=False), name="static"),
    ]
    handlers: dict[type[Exception], Callable[[Request, Exception], Response | Awaitable[Response]]] = {
        TinctError: _tinct_error,
        HTTPException: _http_error,
        Exception: _unexpected_error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.services, app.state.config = services, config
    return app


def _index(request: Request) -> Response:
    """The page."""
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


def _tinct_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TinctError)
    return JSONResponse({"error": str(error)}, status_of(error))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path} is no address of this server ({error.detail})."
    return JSONResponse({"error": text}, error.status_code, error.headers)


def _unexpected_error(request: Request, error: Exception) -> Response:
    if is_full_disk(error):
        return JSONResponse(
            {"error": f"No space is left on the disk: {error}. Free some, and try again."}, 507
        )
    _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    text = f"An error that tinct did not foresee: {type(error).__name__}: {error}. Please report it."
    return JSONResponse({"error": text}, 500)
