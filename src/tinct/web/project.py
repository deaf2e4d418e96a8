"""A project: one video with everything that people decided on it and that was computed for it.

All of it lies in one file (`tinct.web.project_file`). Beside it there is a scratch folder, which may be
deleted while the project is closed:

states/   states from which the session can resume (`tinct.inference.session`)
video/    an embedded video, unpacked
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinct.errors import OptionError, VideoError
from tinct.io.atomic import sweep
from tinct.io.json_files import reading
from tinct.io.masks import object_ids_of
from tinct.io.video import Video
from tinct.shapes import LabelMap
from tinct.web.http_errors import ConflictError, NotFoundError
from tinct.web.journal import AnnotatedObject, Journal, clean_name, colour_of
from tinct.web.mask_store import ComputedMask, MaskStore, is_stale
from tinct.web.project_file import ProjectFile
from tinct.web.project_info import ProjectInfo
from tinct.web.project_video import embed_video, video_path_of
from tinct.web.prompt_png import check_number_of_objects, content_name, labels_of, png_of
from tinct.web.run_log import RunLog
from tinct.web.run_state import RunState, state_after_restart

MaskKind = Literal["shown", "painted", "computed"]
Verdict = Literal["kept", "rejected"]


class Project:
    """An open project. Its methods may be called from any thread; each is one atomic change.

    Args:
        path: The project file.
        scratch: The scratch folder, created if missing.
        project_id: The id in URLs.

    Attributes:
        file: The open project file.
        info: Metadata of the video.
        journal: Objects, prompts, and what else people decided.
        masks: The computed masks.
        runs: The log of runs.
        run: The state of the latest run.

    Raises:
        TinctError: The file is no project, is damaged, or open in another process.
    """

    def __init__(self, path: Path, scratch: Path, project_id: str) -> None:
        self.id, self.scratch = project_id, scratch
        self.lock = threading.RLock()
        self.file = ProjectFile(path)
        try:
            with reading(path, "a project of tinct", "Put back a copy of it, or move it elsewhere."):
                self.info = ProjectInfo.from_json(self.file.meta("project"))
                self.journal, self.masks = Journal(self.file), MaskStore(self.file)
                self.runs = RunLog(self.file)
                inside = range(self.info.frames)
                passes = [each for plan in self.runs.plans.values() for each in plan.passes]
                if any(each.first not in inside or each.last not in inside for each in passes):
                    raise ValueError("a run of it lies outside the video")
                self._ids_of_prompt = self.file.prompt_ids()
                self.run: RunState | None = state_after_restart(self.runs, self.finished_frames)
        except BaseException:
            self.file.close()
            raise
        for folder in (scratch, scratch / "states"):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)

    def close(self) -> None:
        """Release the project file, which then holds everything."""
        with self.lock:
            self.file.close()

    @property
    def video_path(self) -> Path:
        """The file or folder of frames; an embedded video is unpacked if it is not yet."""
        with self.lock:
            return video_path_of(self.file, self.info, self.scratch)

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

    def save_copy(self, path: Path, *, embed: bool) -> None:
        """Write a complete copy of the project, which can be sent, while work goes on.

        Args:
            path: It must not exist yet.
            embed: Whether to store the video in it, too.

        Raises:
            TinctError: The copy cannot be written, or the video is missing.
        """
        self.file.save_copy(path)
        if embed and not self.info.embedded:
            embed_video(path, self.info, self.video_path)

    # Changes

    def annotate(self, prompts: Mapping[int, LabelMap], names: Mapping[int, str] | None = None) -> None:
        """Store the label maps of annotated frames, as one step. New ids become objects.

        A label map may be empty: the frame then shows nothing, and is no prompt for the method.

        Raises:
            OptionError: A frame is not in the video.
            ConflictError: A frame is locked.
            MaskError: There would be too many objects.
            OutputError: The disk is full, or the file cannot be written; then nothing has changed.
        """
        with self.lock:
            names_of_prompts: dict[int, str | None] = {}
            new: dict[int, AnnotatedObject | None] = {}
            for index, labels in prompts.items():
                self.check_frame(index)
                self._check_unlocked(index)
                names_of_prompts[index] = self._store_prompt(labels)
                for object_id in object_ids_of(labels):
                    if object_id not in self.journal.objects:
                        name = (names or {}).get(object_id, f"object {object_id}")
                        new[object_id] = AnnotatedObject(clean_name(name), colour_of(object_id))
            check_number_of_objects(len(self.journal.objects) + len(new))
            self.journal.do(objects=new, prompts=names_of_prompts)

    def remove_prompt(self, index: int) -> None:
        """Remove the prompt of a frame.

        Raises:
            NotFoundError: The frame is not annotated.
            ConflictError: It is locked.
        """
        with self.lock:
            if index not in self.journal.prompts:
                raise NotFoundError(f"Nothing is painted on frame {index}, so nothing can be taken back.")
            self._check_unlocked(index)
            self.journal.do(prompts={index: None})

    def set_lock(self, first: int, last: int, *, locked: bool) -> None:
        """Lock frames that show something, so that it stays whatever is computed, or unlock them.

        Raises:
            OptionError: A frame is not in the video.
        """
        self.check_frame(first)
        self.check_frame(last)
        with self.lock:
            locks: dict[int, int | None] = {}
            for index in range(first, last + 1):
                shown = self.source(index) if locked else None
                if shown is not None and index not in self.journal.locks:
                    locks[index] = shown.run if isinstance(shown, ComputedMask) else 0
                elif not locked:
                    locks[index] = None
            self.journal.do(locks=locks)

    def judge(self, root: int, verdict: Verdict | None, *, later: bool = False) -> None:
        """Keep or reject a run, as one step; what was shown before a rejected run is shown again.

        Args:
            root: The run's number.
            verdict: None takes an earlier verdict back.
            later: Whether the runs after it are judged so, too.

        Raises:
            NotFoundError: There is no such run.
        """
        with self.lock:
            roots = {plan.root for plan in self.runs.plans.values()}
            if root not in roots:
                raise NotFoundError(f"There is no run {root} in this project; there are {sorted(roots)}.")
            self.journal.do(verdicts={i: verdict for i in roots if i == root or (later and i > root)})

    def _check_unlocked(self, index: int) -> None:
        if index in self.journal.locks:
            raise ConflictError(f"Frame {index} is locked. Unlock it (Shift+L) to paint on it.")

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
            made = AnnotatedObject(clean_name(name or f"object {object_id}"), colour or colour_of(object_id))
            self.journal.do(objects={object_id: made})
            return object_id

    def change_object(self, object_id: int, name: str | None, colour: str | None) -> None:
        """Change the name or the colour of an object."""
        with self.lock:
            old = self._object(object_id)
            changed = AnnotatedObject(clean_name(name or old.name), colour or old.colour)
            self.journal.do(objects={object_id: changed})

    def set_finishing(self, object_id: int, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replace the rules by which an object's masks are finished, as one step; the masks stay."""
        with self.lock:
            self._object(object_id)
            self.journal.do(finishing={object_id: [dict(rule) for rule in rules] or None})

    def delete_object(self, object_id: int) -> None:
        """Remove an object from all prompts, and from every mask."""
        with self.lock:
            self._object(object_id)
            prompts: dict[int, str | None] = {}
            for index, name in self.journal.prompts.items():
                if object_id in self._ids_of_prompt[name]:
                    labels = self.prompt(index).copy()
                    labels[labels == object_id] = 0
                    prompts[index] = self._store_prompt(labels) if object_ids_of(labels) else None
            self.journal.do(objects={object_id: None}, prompts=prompts, deletes=True)

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
        """Store the label map of a prompt unless it is stored already; return its name."""
        name = content_name(labels)
        if name not in self._ids_of_prompt:
            ids = object_ids_of(labels)
            self.file.add_prompt(name, ids, png_of(labels, grey=False))
            self._ids_of_prompt[name] = ids
        return name

    # Views

    def prompt_pngs(self) -> dict[int, bytes]:
        """The label maps of the prompts that hold an object as PNGs, by frame in order."""
        with self.lock:
            return {i: self.file.prompt(self.journal.prompts[i]) for i in self.prompt_frames()}

    def prompt_frames(self) -> list[int]:
        """The frames whose prompts hold an object, in order."""
        with self.lock:
            return [i for i, name in self.journal.prompts.items() if self._ids_of_prompt[name]]

    def prompt(self, index: int) -> LabelMap:
        """The label map of an annotated frame."""
        return labels_of(self.file.prompt(self.journal.prompts[index]), self.info.size)

    def finished_frames(self, root: int) -> set[int]:
        """The frames that a run, or one that continues it, has computed from the present prompts."""
        family = set(self.runs.family(root))
        changed = {number: self._changed_since(number) for number in family}
        return {
            mask.index
            for mask in self.masks.all()
            if mask.run in family and not self._is_stale(mask, changed[mask.run])
        }

    def _changed_since(self, run: int) -> list[int]:
        """The frames whose prompts differ from those of a run."""
        return self.journal.prompts_changed_since(self.runs.plans[run].state)

    def _is_stale(self, mask: ComputedMask, changed: list[int]) -> bool:
        return is_stale(mask.index, self.runs.plans[mask.run].direction_at(mask.index), changed)

    def shown(
        self, index: int, before: int | None = None, changes: dict[int, list[int]] | None = None
    ) -> tuple[ComputedMask, bool] | None:
        """(the computed mask that a frame shows, whether a later correction has made it stale).

        Args:
            index: The frame.
            before: Look at the masks of earlier runs than this one alone.
            changes: The changed prompts by run, filled when needed; for many frames in a row.
        """
        changes = {} if changes is None else changes
        lock = self.journal.locks.get(index)
        newest: ComputedMask | None = None
        for mask in reversed(self.masks.at(index)):
            if mask.run == lock:
                return mask, False
            if mask.run not in self.runs.plans or not self._counts(mask.run, before):
                continue
            newest = newest or mask
            if mask.run not in changes:
                changes[mask.run] = self._changed_since(mask.run)
            if lock is None and not self._is_stale(mask, changes[mask.run]):
                return mask, False
        return None if newest is None else (newest, lock is None)

    def _counts(self, run: int, before: int | None) -> bool:
        root = self.runs.plans[run].root
        return self.journal.verdicts.get(root) != "rejected" and (before is None or root < before)

    def all_shown(self) -> Iterator[tuple[ComputedMask, bool]]:
        """`shown` of every frame that has a computed mask, in order."""
        changes: dict[int, list[int]] = {}
        for index in self.masks.frames():
            found = self.shown(index, changes=changes)
            if found is not None:
                yield found

    def source(
        self, index: int, of: MaskKind = "shown", before: int | None = None
    ) -> ComputedMask | str | None:
        """Where a frame's label map comes from: a computed mask, the name of a prompt, or nowhere.

        Args:
            index: The frame.
            of: `shown`: the computed mask if it is not stale (it holds the annotated objects exactly, and
                the others too), else the prompt, else the stale mask; or `painted` or `computed`.
            before: As in `shown`.
        """
        with self.lock:
            computed, prompt = self.shown(index, before), self.journal.prompts.get(index)
            fresh = computed is not None and not computed[1] and self.journal.locks.get(index) != 0
            # A frame with an empty prompt shows nothing, whatever a run found there.
            if of == "shown" and prompt is not None:
                of = "computed" if fresh and self._ids_of_prompt[prompt] else "painted"
            if of == "painted":
                return prompt
            return None if computed is None else computed[0]

    def png(self, index: int, of: MaskKind = "shown", before: int | None = None) -> bytes | None:
        """The stored label map of a frame, which may still hold deleted objects; None if there is none."""
        with self.lock:
            found = self.source(index, of, before)
            if isinstance(found, ComputedMask):
                return self.file.mask(found.index, found.run)
            return None if found is None else self.file.prompt(found)

    @property
    def deleted_objects(self) -> set[int]:
        """Ids of deleted objects, which computed masks may still hold."""
        return self.journal.object_ids_ever - self.journal.objects.keys()

    def labels(self, index: int, of: MaskKind = "shown", before: int | None = None) -> LabelMap | None:
        """The label map of a frame, without deleted objects; None if there is none.

        The arguments are those of `source`.
        """
        with self.lock:
            png, gone = self.png(index, of, before), self.deleted_objects
        if png is None:
            return None
        labels = labels_of(png, self.info.size)
        labels[np.isin(labels, [*gone])] = 0
        return labels

    def mask_key(self, index: int, before: int | None = None) -> tuple[object, ...]:
        """A key of everything that `labels` depends on, found without reading a mask."""
        with self.lock:
            return (
                self.shown(index, before),
                self.journal.prompts.get(index),
                self.journal.locks.get(index),
                tuple(self.journal.objects),
            )
