"""A project as JSON for the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any

from tinct.web.mask_store import ranges
from tinct.web.project import Project
from tinct.web.run_log import settings_of


def history(project: Project) -> list[dict[str, Any]]:
    """The runs as JSON for the page, in order; those that continue another one are part of it."""
    frames: dict[int, set[int]] = {}
    for mask in project.masks.all():
        if mask.run in project.runs.plans:
            frames.setdefault(project.runs.plans[mask.run].root, set()).add(mask.index)
    return [
        {
            "run": plan.number,
            "start": plan.start,
            "direction": plan.direction,
            "method": plan.config.method,
            "frames": ranges(sorted(frames.get(plan.number, ()))),
            "verdict": project.journal.verdicts.get(plan.number),
        }
        for plan in project.runs.plans.values()
        if plan.number == plan.root
    ]


def document(project: Project) -> dict[str, Any]:
    """The project as JSON for the page, without the id of the writing tab."""
    with project.lock:
        shown = list(project.all_shown())
        prompts, locks = project.journal.prompts, project.journal.locks
        latest = project.runs.latest
        unsure = {m.index: m.confidence for m, stale in shown if not stale and m.index not in locks}
        return {
            **summary(project),
            "objects": [{"id": i, **asdict(made)} for i, made in project.journal.objects.items()],
            "prompts": list(prompts),
            "locks": ranges(locks),
            "finishing": {str(i): rules for i, rules in project.journal.finishing.items()},
            "soft_masks": project.file.meta("soft_masks") is True,
            "has_soft_masks": project.file.has_soft_masks(),
            "done": ranges(mask.index for mask, _ in shown),
            "stale": ranges(mask.index for mask, stale in shown if stale and mask.index not in prompts),
            # Followed by the id and the confidence of each object: flat, since there is one per frame.
            "confidence": [[m.index, m.confidence, *chain(*m.objects)] for m, _ in shown],
            "suggested": _suggested_frame(unsure, {*prompts, *locks}),
            "run": run_document(project),
            "history": history(project),
            "settings": None if latest is None else settings_of(latest.config),
            "can_undo": project.journal.can_undo,
            "can_redo": project.journal.can_redo,
            "revision": project.journal.revision,
        }


def run_document(project: Project) -> dict[str, Any] | None:
    """The latest run as JSON for the page, with the frame that a paused one goes on from."""
    with project.lock:
        run = project.run
        if run is None:
            return None
        found: dict[str, Any] = {**run.document(), "goes_on_from": None}
        if run.status in ("paused", "failed", "cancelled"):
            root = project.runs.plans[run.plan.root]
            passes = root.remaining_passes(project.finished_frames(root.number))
            found["goes_on_from"] = passes[0].first if passes else None
        return found


def summary(project: Project) -> dict[str, Any]:
    """A project in the list of projects."""
    info = project.info
    return {
        "id": project.id,
        "name": info.name,
        "frames": info.frames,
        "fps": info.fps,
        "width": info.size[1],
        "height": info.size[0],
        "uploaded": info.embedded,
        "painted": len(project.journal.prompts),
        "computed": len(project.masks.frames()),
        "status": "ready" if project.run is None else project.run.status,
    }


def _suggested_frame(confidences: Mapping[int, float], known: Collection[int]) -> int | None:
    """The frame whose correction would help most."""
    from tinct.inference.confidence import most_helpful_frame

    return most_helpful_frame(confidences, known)
