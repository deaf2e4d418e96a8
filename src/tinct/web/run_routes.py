"""Routes for computing and watching: methods, runs, events."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tinct.errors import OptionError
from tinct.inference.directions import check_direction
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.project import Project, Verdict
from tinct.web.services import document_after, json_of, project_of, services_of, text, whole_number


def list_methods(request: Request) -> Response:
    """The methods whose weights are in the package, the loaded one first."""
    return JSONResponse(methods(request.app.state.config))


def methods(first: SegmenterConfig) -> list[dict[str, Any]]:
    """A row per method with weights in the package, and `first`'s; its method and preset come first."""
    from tinct import zoo

    rows = [
        {
            "method": name,
            "variant": record.default_variant,
            "title": record.title,
            "streams": record.streams,
            "presets": _first(first.preset, record.presets_of(record.default_variant)),
            "fine_tunes": record.fine_tunes,
        }
        for name, record in zoo.METHODS.items()
        if name == first.method or zoo.weights_record(name, record.default_variant) is not None
    ]
    return sorted(rows, key=lambda row: row["method"] != first.method)


def _first(chosen: str, presets: tuple[str, ...]) -> list[str]:
    """The presets, the chosen one before the others."""
    return sorted(presets, key=lambda preset: preset != chosen)


def status(request: Request) -> Response:
    """Whether the worker has loaded its first segmenter."""
    return JSONResponse({"ready": services_of(request).runner.worker.ready.is_set()})


async def begin_run(request: Request) -> Response:
    """Begin a run, in the frames from `first` to `last` alone if they are given."""
    values, runner = await json_of(request), services_of(request).runner
    default = request.app.state.config
    config = SegmenterConfig(
        text(values, "method") or default.method,
        preset=text(values, "preset") or default.preset,
        fine_tune=text(values, "fine_tune"),
    )
    direction = check_direction(text(values, "direction") or "forward")
    start = whole_number(values, "start", 0)
    first, last = whole_number(values, "first", 0), values.get("last")
    end = None if last is None else whole_number(values, "last")

    def begin(project: Project) -> None:
        within = range(first, project.info.frames if end is None else end + 1)
        runner.begin(project, start, direction, config, within)

    return await document_after(request, begin)


async def pause(request: Request) -> Response:
    """Pause the run."""
    return await document_after(request, services_of(request).runner.pause)


async def resume(request: Request) -> Response:
    """Resume the paused run."""
    return await document_after(request, services_of(request).runner.resume)


async def cancel(request: Request) -> Response:
    """End the run at once."""
    return await document_after(request, services_of(request).runner.cancel)


async def judge(request: Request) -> Response:
    """Keep or reject a run, or take that back; with `later` the runs after it, too."""
    values, runner, root = await json_of(request), services_of(request).runner, request.path_params["run"]
    given = text(values, "verdict")
    if given not in ("kept", "rejected", None):
        raise OptionError(f"The verdict {given[:20]!r} came; expected 'kept', 'rejected' or null.")
    verdict: Verdict | None = given  # type: ignore[assignment]

    def change(project: Project) -> None:
        run = project.run
        if verdict == "rejected" and run is not None and not run.ended:
            runner.cancel(project)
        project.judge(root, verdict, later=values.get("later") is True)

    return await document_after(request, change)


async def events(request: Request) -> Response:
    """What happens in the project, as server-sent events."""
    project: Project = project_of(request)
    stream = services_of(request).events.stream(project.id, request.query_params.get("tab", ""))
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


ROUTES = [
    Route("/api/methods", list_methods, methods=["GET"]),
    Route("/api/status", status, methods=["GET"]),
    Route("/api/projects/{project}/run", begin_run, methods=["POST"]),
    Route("/api/projects/{project}/pause", pause, methods=["POST"]),
    Route("/api/projects/{project}/resume", resume, methods=["POST"]),
    Route("/api/projects/{project}/cancel", cancel, methods=["POST"]),
    Route("/api/projects/{project}/runs/{run:int}/verdict", judge, methods=["POST"]),
    Route("/api/projects/{project}/events", events, methods=["GET"]),
]
