"""The changes of a project, step by step: objects, prompts and what else can be undone.

The journal lies in the project file; reading it again gives the same project. A step holds the values
before and after it, and the step that it followed (its parent). Steps that were undone and replaced by
others stay in this tree, so that for a mask computed in any state it can be found which prompts have changed
since. A prompt is named by its content (`tinct.web.project`), which makes that comparison exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tinct.io.masks import voc_palette
from tinct.web.http_errors import ConflictError
from tinct.web.project_file import ProjectFile

Changes = Mapping[int, tuple[Any, Any]]
"""(before, after) by key; None where there is no value."""

KINDS = ("objects", "prompts", "locks", "verdicts", "finishing")
"""What a step can change; see `Journal`."""


MAX_NAME = 80
"""Maximum number of characters of an object's name."""


@dataclass(frozen=True)
class AnnotatedObject:
    """The name of an object and its colour, `#rrggbb`."""

    name: str
    colour: str


@dataclass(frozen=True)
class Step:
    """One change that can be undone.

    Attributes:
        number: From 1, in the order of steps; never reused.
        parent: The step that it followed; 0 for the empty project.
        changes: Of each of `KINDS` that it changes, by key.
        deletes: Whether it only deletes objects: masks that were computed before stay valid, without
            the pixels of those objects.
    """

    number: int
    parent: int
    changes: Mapping[str, Changes] = field(default_factory=dict)
    deletes: bool = False

    @property
    def prompts(self) -> Changes:
        """The changes of prompts, by frame."""
        return self.changes.get("prompts", {})


class Journal:
    """What people decided in a project, now and in all earlier states.

    Attributes:
        objects: By id, in the order of ids.
        prompts: The name of the label map of each annotated frame, in the order of frames.
        locks: The run whose mask a locked frame shows whatever is computed later, by frame; 0 where it shows
            its prompt.
        verdicts: `kept` or `rejected`, by the number of a run.
        finishing: How the masks of an object are finished, as anything that JSON holds, by object id.
        state: The number of the last step that is not undone; 0 if there is none.
        revision: A number that grows with every change, undo and redo.
    """

    def __init__(self, file: ProjectFile) -> None:
        self.objects: dict[int, AnnotatedObject] = {}
        self.prompts: dict[int, str] = {}
        self.locks: dict[int, int] = {}
        self.verdicts: dict[int, str] = {}
        self.finishing: dict[int, Any] = {}
        self.state = self.revision = 0
        self._steps: dict[int, Step] = {}
        self._undone: list[int] = []
        self._file = file
        for (entry,) in file.rows("SELECT entry FROM journal ORDER BY revision"):
            self._apply(json.loads(entry))

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return self.state != 0

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone since the last new one."""
        return bool(self._undone)

    @property
    def object_ids_ever(self) -> set[int]:
        """All ids that were ever used, so that none is used twice."""
        return {i for step in self._steps.values() for i in step.changes.get("objects", {})}

    def do(self, *, deletes: bool = False, **values: Mapping[int, Any]) -> None:
        """Make a change as one step; without any difference there is no step.

        Args:
            deletes: As in `Step`.
            values: New values by key, of each of `KINDS`; None removes a value.

        Raises:
            OutputError: The step cannot be written; then nothing has changed.
        """
        step: dict[str, Any] = {"number": len(self._steps) + 1, "parent": self.state, "deletes": deletes}
        for kind, new in values.items():
            old = getattr(self, kind)
            step[kind] = {
                i: (_as_json(old.get(i)), _as_json(value)) for i, value in new.items() if value != old.get(i)
            }
        if any(step[kind] for kind in values):
            self._write({"step": step})

    def undo(self) -> Step:
        """Undo the last step, and return it.

        Raises:
            ConflictError: There is no step.
            OutputError: The undo cannot be written; then nothing has changed.
        """
        if not self.can_undo:
            raise ConflictError("There is nothing to undo: this is the state in which the project began.")
        step = self._steps[self.state]
        self._write({"undo": step.number})
        return step

    def redo(self) -> Step:
        """Redo the step that was undone last, and return it.

        Raises:
            ConflictError: There is no such step, or a new one was done since.
            OutputError: The redo cannot be written; then nothing has changed.
        """
        if not self.can_redo:
            raise ConflictError("There is nothing to redo: no step was taken back since the last new one.")
        step = self._steps[self._undone[-1]]
        self._write({"redo": step.number})
        return step

    def prompts_changed_since(self, state: int) -> list[int]:
        """The frames whose prompts differ between a state and now, in order.

        Steps that only deleted objects count if they were undone since, not if they were done since.
        """
        here, there = list(self._chain(self.state)), list(self._chain(state))
        shared = {step.number for step in here} & {step.number for step in there}
        done = [step for step in here if step.number not in shared]
        undone = [step for step in there if step.number not in shared]
        touched = {i for step in done if not step.deletes for i in step.prompts}
        touched |= {i for step in undone for i in step.prompts}
        then: dict[int, str | None] = {i: self.prompts.get(i) for i in touched}
        for step in done:
            then.update({i: change[0] for i, change in step.prompts.items()})
        for step in reversed(undone):
            then.update({i: change[1] for i, change in step.prompts.items()})
        return sorted(i for i in touched if then[i] != self.prompts.get(i))

    def _chain(self, state: int) -> Iterator[Step]:
        """The steps that led to a state, the newest first."""
        while state:
            step = self._steps[state]
            yield step
            state = step.parent

    def _write(self, entry: dict[str, Any]) -> None:
        text = json.dumps(entry, ensure_ascii=False)
        with self._file.transaction() as db:
            db.execute("INSERT INTO journal VALUES (?, ?)", (self.revision + 1, text))
        self._apply(json.loads(text))

    def _apply(self, entry: dict[str, Any]) -> None:
        self.revision += 1
        if "step" in entry:
            step = _read_step(entry["step"])
            self._steps[step.number] = step
            self._undone.clear()
            self._change(step, 1)
        elif "undo" in entry:
            self._undone.append(entry["undo"])
            self._change(self._steps[entry["undo"]], 0)
        else:
            self._undone.pop()
            self._change(self._steps[entry["redo"]], 1)

    def _change(self, step: Step, side: int) -> None:
        """Set the values of a step from before (0) or after it (1)."""
        for kind, changes in step.changes.items():
            values = {**getattr(self, kind), **{i: change[side] for i, change in changes.items()}}
            setattr(self, kind, {i: value for i, value in sorted(values.items()) if value is not None})
        self.state = step.number if side else step.parent


def _as_json(value: Any) -> Any:
    return asdict(value) if isinstance(value, AnnotatedObject) else value


def _read_step(entry: Mapping[str, Any]) -> Step:
    def value_of(kind: str, value: Any) -> Any:
        return AnnotatedObject(**value) if kind == "objects" and value is not None else value

    changes = {
        kind: {int(i): (value_of(kind, old), value_of(kind, new)) for i, (old, new) in entry[kind].items()}
        for kind in KINDS
        if entry.get(kind)
    }
    return Step(entry["number"], entry["parent"], changes, entry["deletes"])


def colour_of(object_id: int) -> str:
    """The VOC palette's colour of an id, `#rrggbb`."""
    return "#" + bytes(voc_palette()[object_id]).hex()


def clean_name(name: str) -> str:
    """A name as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME] or "object"
