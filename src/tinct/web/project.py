"""A project: one video's folder, which holds on disk everything that was confirmed to a client.

project.json        the video: where it is, how many frames, their size, their rate
journal.jsonl       annotations and names, step by step (`tinct.web.journal`)
prompts/<hash>.png  label maps of annotated frames, named by their content
runs.jsonl          the runs (`tinct.web.run_log`)
masks/              computed masks (`tinct.web.mask_store`)
states/             states from which the session can resume (`tinct.inference.session`)
video/              an uploaded video
exports/            exported files
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tinct.errors import OptionError, VideoError
from tinct.io.atomic import atomic_write, sweep
from tinct.io.json_files import parse_json, reading
from tinct.io.mask_files import read_label_png, write_mask
from tinct.io.masks import object_ids_of, voc_palette
from tinct.io.regular_files import read_regular
from tinct.io.video import Video
from tinct.shapes import LabelMap
from tinct.web.http_errors import NotFoundError
from tinct.web.journal import AnnotatedObject, Journal
from tinct.web.mask_store import ComputedMask, MaskStore, is_stale, ranges
from tinct.web.prompt_png import check_number_of_objects, content_name
from tinct.web.run_log import RunLog, settings_of
from tinct.web.run_state import RunState, state_after_restart

MaskKind = Literal["shown", "painted", "computed"]

MAX_NAME = 80
"""Maximum number of characters of an object's name."""


@dataclass(frozen=True)
class ProjectInfo:
    """`project.json`: metadata of the video, known without opening it.

    Attributes:
        id: The name of the folder, which is also the id in every URL.
        name: The name that people see.
        video: The file or folder of frames; relative to the project's folder where it was uploaded.
        uploaded: Whether the video was uploaded, and is removed with the project.
        frames: Number of frames.
        size: (H, W) in pixels.
        rate: Frames per second as a fraction in text; None if unknown.
    """

    id: str
    name: str
    video: str
    uploaded: bool
    frames: int
    size: tuple[int, int]
    rate: str | None

    @property
    def fps(self) -> float | None:
        """Frames per second."""
        return None if self.rate is None else float(Fraction(self.rate))

    @staticmethod
    def of(video: Video, project_id: str, name: str, path: str, *, uploaded: bool) -> ProjectInfo:
        """The metadata of an opened video."""
        rate = None if video.rate is None else str(Fraction(video.rate))
        return ProjectInfo(project_id, name, path, uploaded, len(video), video.size, rate)

    def write(self, folder: Path) -> None:
        """Write the file, atomically and durably; OutputError if that fails."""
        with atomic_write(folder / "project.json", durable=True) as part:
            part.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> ProjectInfo:
        """Read the file; TinctError if it is missing or damaged."""
        path = folder / "project.json"
        with reading(path, "a project of tinct", "Put back a copy of it, or move the folder elsewhere."):
            values = parse_json(read_regular(path))
            height, width = (int(side) for side in values["size"])
            texts = {name: str(values[name]) for name in ("id", "name", "video")}
            info = ProjectInfo(
                **texts, uploaded=bool(values["uploaded"]), frames=int(values["frames"]),
                size=(height, width), rate=None if values["rate"] is None else str(values["rate"]),
            )  # fmt: skip
            if (info.fps is not None and info.fps <= 0) or min(height, width, info.frames) < 1:
                raise ValueError("its frames, their size or their rate are not positive")
            return info


class Project:
    """An open project. Its methods may be called from any thread; each is one atomic change.

    Attributes:
        info: Metadata of the video.
        folder: The folder on disk.
        journal: Objects and prompts.
        masks: The computed masks.
        runs: The log of runs.
        run: The state of the latest run.
    """

    def __init__(self, folder: Path, info: ProjectInfo | None = None) -> None:
        self.folder = folder
        self.info = info or ProjectInfo.read(folder)
        self.lock = threading.RLock()
        self._ids_of_prompt: dict[str, tuple[int, ...]] = {}
        sweep(folder)
        for name in ("prompts", "exports", "states", "masks"):
            (folder / name).mkdir(exist_ok=True)
            sweep(folder / name)
        self.journal = Journal(folder / "journal.jsonl")
        self.masks = MaskStore(folder / "masks")
        self.runs = RunLog(folder / "runs.jsonl")
        latest = self.runs.latest
        done = 0 if latest is None else len(self.finished_frames(latest.root))
        self.run: RunState | None = state_after_restart(self.runs, done)

    @property
    def id(self) -> str:
        """The id in URLs."""
        return self.info.id

    @property
    def video_path(self) -> Path:
        """The file or folder of frames."""
        return self.folder / self.info.video

    @cached_property
    def video(self) -> Video:
        """The frames.

        Raises:
            VideoError: The video is missing, broken, or differs from the annotated one.
        """
        video = Video.open(self.video_path)
        if (len(video), video.size) != (self.info.frames, self.info.size):
            H, W = self.info.size
            raise VideoError(
                f"{self.video_path} has {len(video)} frames of {video.size[1]}×{video.size[0]} pixels now; "
                f"this project was painted on {self.info.frames} frames of {W}×{H}. Put the old video "
                "back, or open the new one under another name."
            )
        return video

    def check_frame(self, index: int) -> None:
        """OptionError for a frame that the video does not have."""
        if not 0 <= index < self.info.frames:
            raise OptionError(
                f"Frame {index} was asked for; the video has frames 0 to {self.info.frames - 1}."
            )

    # Changes

    def annotate(self, prompts: Mapping[int, LabelMap], names: Mapping[int, str] | None = None) -> None:
        """Store the label maps of annotated frames, as one step. New ids become objects.

        A label map may be empty: the frame then shows nothing, and is no prompt for the method.

        Raises:
            OptionError: A frame is not in the video.
            MaskError: There would be too many objects.
            OutputError: The disk is full, or the folder cannot be written; then nothing has changed.
        """
        with self.lock:
            names_of_files: dict[int, str | None] = {}
            new: dict[int, AnnotatedObject | None] = {}
            for index, labels in prompts.items():
                self.check_frame(index)
                names_of_files[index] = self._store_prompt(labels)
                for object_id in object_ids_of(labels):
                    if object_id not in self.journal.objects:
                        name = (names or {}).get(object_id, f"object {object_id}")
                        new[object_id] = AnnotatedObject(_clean_name(name), colour_of(object_id))
            check_number_of_objects(len(self.journal.objects) + len(new))
            self.journal.do(new, names_of_files)

    def remove_prompt(self, index: int) -> None:
        """Remove the prompt of a frame.

        Raises:
            NotFoundError: The frame is not annotated.
        """
        with self.lock:
            if index not in self.journal.prompts:
                raise NotFoundError(f"Nothing is painted on frame {index}, so nothing can be taken back.")
            self.journal.do(prompts={index: None})

    def add_object(self, name: str | None, colour: str | None, wanted: int | None = None) -> int:
        """Add an object; return its id: the wanted one, or a free one if any object ever had that."""
        with self.lock:
            check_number_of_objects(len(self.journal.objects) + 1)
            # An id that an object had before could still be in masks.
            used = self.journal.object_ids_ever
            free = [i for i in range(1, 255) if i > max(used, default=0)] or [
                i for i in range(1, 255) if i not in self.journal.objects
            ]
            can_have = wanted is not None and 1 <= wanted <= 254 and wanted not in used
            object_id = wanted if wanted is not None and can_have else free[0]
            made = AnnotatedObject(_clean_name(name or f"object {object_id}"), colour or colour_of(object_id))
            self.journal.do({object_id: made})
            return object_id

    def change_object(self, object_id: int, name: str | None, colour: str | None) -> None:
        """Change the name or the colour of an object."""
        with self.lock:
            old = self._object(object_id)
            self.journal.do({object_id: AnnotatedObject(_clean_name(name or old.name), colour or old.colour)})

    def delete_object(self, object_id: int) -> None:
        """Remove an object from all prompts, and from every mask."""
        with self.lock:
            self._object(object_id)
            prompts: dict[int, str | None] = {}
            for index, name in self.journal.prompts.items():
                if object_id in self._ids(name):
                    labels = self.prompt(index).copy()
                    labels[labels == object_id] = 0
                    prompts[index] = self._store_prompt(labels) if object_ids_of(labels) else None
            self.journal.do({object_id: None}, prompts, deletes=True)

    def undo(self) -> int | None:
        """Undo the last step; return the first frame whose prompt changed."""
        with self.lock:
            return min(self.journal.undo().prompts, default=None)

    def redo(self) -> int | None:
        """Redo the last step that was undone; return the first frame whose prompt changed."""
        with self.lock:
            return min(self.journal.redo().prompts, default=None)

    def _object(self, object_id: int) -> AnnotatedObject:
        if object_id not in self.journal.objects:
            known = ", ".join(map(str, self.journal.objects)) or "none"
            raise NotFoundError(f"There is no object {object_id} in this project. There are: {known}.")
        return self.journal.objects[object_id]

    def _store_prompt(self, labels: LabelMap) -> str:
        """Write the label map of a prompt unless it is stored already; return its name."""
        name = content_name(labels)
        path = self.folder / "prompts" / name
        if not path.exists():
            write_mask(path, labels, durable=True)
        return name

    def _ids(self, name: str) -> tuple[int, ...]:
        if name not in self._ids_of_prompt:
            self._ids_of_prompt[name] = object_ids_of(read_label_png(self.folder / "prompts" / name))
        return self._ids_of_prompt[name]

    # Views

    def prompt_files(self) -> dict[int, Path]:
        """The label map files of the prompts that hold an object, by frame in order."""
        with self.lock:
            return {i: self.prompt_path(i) for i, name in self.journal.prompts.items() if self._ids(name)}

    def prompt_path(self, index: int) -> Path:
        """The label map file of an annotated frame."""
        return self.folder / "prompts" / self.journal.prompts[index]

    def prompt(self, index: int) -> LabelMap:
        """The label map of an annotated frame."""
        return read_label_png(self.prompt_path(index))

    def finished_frames(self, root: int) -> set[int]:
        """The frames that a run, or one that continues it, has computed."""
        family = set(self.runs.family(root))
        return {i for i in self.masks.frames() if any(mask.run in family for mask in self.masks.at(i))}

    def shown(self, index: int) -> tuple[ComputedMask, bool] | None:
        """(the computed mask that a frame shows, whether a later correction has made it stale)."""
        return self._shown(index, {})

    def _shown(self, index: int, changes: dict[int, list[int]]) -> tuple[ComputedMask, bool] | None:
        masks = self.masks.at(index)
        for mask in reversed(masks):
            plan = self.runs.plans.get(mask.run)
            if plan is None:
                continue
            if plan.state not in changes:
                changes[plan.state] = self.journal.prompts_changed_since(plan.state)
            if not is_stale(index, plan.direction_at(index), changes[plan.state]):
                return mask, False
        return (masks[-1], True) if masks else None

    def all_shown(self) -> Iterator[tuple[ComputedMask, bool]]:
        """`shown` of every frame that has a computed mask, in order."""
        changes: dict[int, list[int]] = {}
        for index in self.masks.frames():
            found = self._shown(index, changes)
            if found is not None:
                yield found

    def label_file(self, index: int, of: MaskKind = "shown") -> Path | None:
        """The file of a frame's label map, which may still hold deleted objects; None if there is none.

        Args:
            index: The frame.
            of: `shown`: the computed mask if it is not stale (it holds the annotated objects exactly, and
                the others too), else the prompt, else the stale mask; or `painted` or `computed`.
        """
        with self.lock:
            computed, prompt = self.shown(index), self.journal.prompts.get(index)
            fresh = computed is not None and not computed[1]
            # A frame with an empty prompt shows nothing, whatever a run found there.
            if of == "shown" and prompt is not None:
                of = "computed" if fresh and self._ids(prompt) else "painted"
            if prompt is not None and of == "painted":
                return self.prompt_path(index)
            return None if of == "painted" or computed is None else self.masks.path(computed[0])

    @property
    def deleted_objects(self) -> set[int]:
        """Ids of deleted objects, which computed masks may still hold."""
        return self.journal.object_ids_ever - self.journal.objects.keys()

    def labels(self, index: int, of: MaskKind = "shown") -> LabelMap | None:
        """The label map of a frame, without deleted objects; None if there is none.

        `of` is that of `label_file`.
        """
        with self.lock:
            path = self.label_file(index, of)
            labels = None if path is None else read_label_png(path)
            gone = self.deleted_objects
        if labels is not None:
            for object_id in gone:
                labels[labels == object_id] = 0
        return labels

    def mask_key(self, index: int) -> tuple[object, ...]:
        """A key of everything that `labels` depends on, found without reading a file."""
        with self.lock:
            return self.shown(index), self.journal.prompts.get(index), tuple(self.journal.objects)

    def document(self) -> dict[str, Any]:
        """The project as JSON for the page, without the id of the writing tab."""
        with self.lock:
            shown = list(self.all_shown())
            prompts = self.journal.prompts
            latest = self.runs.latest
            return {
                **summary(self.info, self.run),
                "objects": [{"id": i, **asdict(made)} for i, made in self.journal.objects.items()],
                "prompts": list(prompts),
                "done": ranges(mask.index for mask, _ in shown),
                "stale": ranges(mask.index for mask, stale in shown if stale and mask.index not in prompts),
                "confidence": [[mask.index, mask.confidence] for mask, _ in shown],
                "suggested": _suggested_frame(
                    {m.index: m.confidence for m, stale in shown if not stale}, prompts
                ),
                "run": None if self.run is None else self.run.document(),
                "settings": None if latest is None else settings_of(latest.config),
                "can_undo": self.journal.can_undo,
                "can_redo": self.journal.can_redo,
                "revision": self.journal.revision,
            }


def summary(info: ProjectInfo, run: RunState | None) -> dict[str, Any]:
    """A project in the list of projects."""
    return {
        "id": info.id,
        "name": info.name,
        "frames": info.frames,
        "fps": info.fps,
        "width": info.size[1],
        "height": info.size[0],
        "uploaded": info.uploaded,
        "status": "ready" if run is None else run.status,
    }


def colour_of(object_id: int) -> str:
    """The VOC palette's colour of an id, `#rrggbb`."""
    return "#" + bytes(voc_palette()[object_id]).hex()


def _clean_name(name: str) -> str:
    """A name as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME] or "object"


def _suggested_frame(confidences: Mapping[int, float], prompts: Mapping[int, str]) -> int | None:
    """The frame whose correction would help most."""
    from tinct.inference.confidence import most_helpful_frame

    return most_helpful_frame(confidences, prompts)
