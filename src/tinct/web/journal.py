"""The changes of a project, step by step: objects and prompts, with undo and redo.

The journal is a `DurableLog`; reading it again gives the same project. A step holds the values before and
after it, and the step that it followed (its parent). Steps that were undone and replaced by others stay in
this tree, so that for a mask computed in any state it can be found which prompts have changed since. A
prompt is named by its content (`tinct.web.project`), which makes that comparison exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinct.web.durable_log import DurableLog
from tinct.web.http_errors import ConflictError


@dataclass(frozen=True)
class AnnotatedObject:
    """The name of an object and its colour, `#rrggbb`."""

    name: str
    colour: str


ObjectChange = tuple[AnnotatedObject | None, AnnotatedObject | None]
PromptChange = tuple[str | None, str | None]


@dataclass(frozen=True)
class Step:
    """One change that can be undone; pairs are (before, after), None where there is no value.

    Attributes:
        number: From 1, in the order of steps; never reused.
        parent: The step that it followed; 0 for the empty project.
        objects: Changes by object id.
        prompts: Changes by frame, of the name of the prompt's label map.
        deletes: Whether it only deletes objects: masks that were computed before stay valid, without
            the pixels of those objects.
    """

    number: int
    parent: int
    objects: Mapping[int, ObjectChange] = field(default_factory=dict)
    prompts: Mapping[int, PromptChange] = field(default_factory=dict)
    deletes: bool = False


class Journal:
    """The objects and prompts of a project, now and in all earlier states.

    Attributes:
        objects: By id, in the order of ids.
        prompts: The name of the label map of each annotated frame, in the order of frames.
        state: The number of the last step that is not undone; 0 if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.objects: dict[int, AnnotatedObject] = {}
        self.prompts: dict[int, str] = {}
        self.state = 0
        self._steps: dict[int, Step] = {}
        self._undone: list[int] = []
        self._log = DurableLog(path)
        for entry in self._log.entries:
            self._apply(entry)

    @property
    def revision(self) -> int:
        """A number that grows with every change, undo and redo."""
        return len(self._log.entries)

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
        return {i for step in self._steps.values() for i in step.objects}

    def do(
        self,
        objects: Mapping[int, AnnotatedObject | None] | None = None,
        prompts: Mapping[int, str | None] | None = None,
        *,
        deletes: bool = False,
    ) -> None:
        """Make a change as one step; without any difference there is no step.

        Raises:
            OutputError: The step cannot be written; then nothing has changed.
        """
        new_objects = {
            i: (self.objects.get(i), new) for i, new in (objects or {}).items() if new != self.objects.get(i)
        }
        new_prompts = {
            i: (self.prompts.get(i), new) for i, new in (prompts or {}).items() if new != self.prompts.get(i)
        }
        if not new_objects and not new_prompts:
            return
        self._write(
            {"step": asdict(Step(len(self._steps) + 1, self.state, new_objects, new_prompts, deletes))}
        )

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
        self._log.append(entry)
        self._apply(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
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
        for object_id, objects in step.objects.items():
            _put(self.objects, object_id, objects[side])
        for index, prompts in step.prompts.items():
            _put(self.prompts, index, prompts[side])
        self.objects = dict(sorted(self.objects.items()))
        self.prompts = dict(sorted(self.prompts.items()))
        self.state = step.number if side else step.parent


def _put(values: dict[int, Any], key: int, value: Any) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _read_step(entry: Mapping[str, Any]) -> Step:
    def object_of(value: Mapping[str, str] | None) -> AnnotatedObject | None:
        return None if value is None else AnnotatedObject(**value)

    return Step(
        entry["number"],
        entry["parent"],
        {int(i): (object_of(old), object_of(new)) for i, (old, new) in entry["objects"].items()},
        {int(i): (old, new) for i, (old, new) in entry["prompts"].items()},
        entry["deletes"],
    )
