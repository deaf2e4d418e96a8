from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.web.http_errors import ConflictError
from tinct.web.journal import KINDS, AnnotatedObject, Journal
from tinct.web.project_file import ProjectFile

ACTS = st.lists(
    st.one_of(
        st.just("undo"),
        st.just("redo"),
        st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None])),
        st.tuples(st.just("object"), st.integers(1, 2), st.sampled_from(["x", "y", None])),
    ),
    max_size=25,
)


class Snapshots:
    """The slow twin: every state is kept whole, and undo goes back to the one before."""

    def __init__(self) -> None:
        self.past: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self.now: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
        self.future: list[tuple[dict[Any, Any], dict[Any, Any]]] = []

    def do(self, place: int, key: int, value: Any) -> None:
        new = ({**self.now[0]}, {**self.now[1]})
        if value is None:
            new[place].pop(key, None)
        else:
            new[place][key] = value
        if new != self.now:
            self.past.append(self.now)
            self.now, self.future = new, []

    def undo(self) -> None:
        self.future.append(self.now)
        self.now = self.past.pop()

    def redo(self) -> None:
        self.past.append(self.now)
        self.now = self.future.pop()


def act(journal: Journal, twin: Snapshots, what: Any) -> None:
    if what == "undo":
        if journal.can_undo:
            journal.undo()
            twin.undo()
    elif what == "redo":
        if journal.can_redo:
            journal.redo()
            twin.redo()
    elif what[0] == "object":
        made = None if what[2] is None else AnnotatedObject(what[2], "#000000")
        journal.do(objects={what[1]: made})
        twin.do(0, what[1], made)
    else:
        journal.do(prompts={what[0]: what[1]})
        twin.do(1, what[0], what[1])


@settings(max_examples=40)  # each entry waits for the disk
@given(acts=ACTS)
def test_the_journal_is_its_slow_twin_at_every_step_and_when_read_again(
    tmp_path_factory: pytest.TempPathFactory, acts: list[Any]
) -> None:
    file = ProjectFile(tmp_path_factory.mktemp("journal") / "a.tinct", create=True)
    journal, twin = Journal(file), Snapshots()
    prompts_in = {0: {}}  # state → prompts, as they were
    for what in acts:
        act(journal, twin, what)
        assert (journal.objects, journal.prompts) == twin.now
        assert list(journal.prompts) == sorted(journal.prompts)
        assert (journal.can_undo, journal.can_redo) == (bool(twin.past), bool(twin.future))
        prompts_in[journal.state] = dict(journal.prompts)
    for state, then in prompts_in.items():
        changed = {i for i in {*then, *journal.prompts} if then.get(i) != journal.prompts.get(i)}
        assert journal.prompts_changed_since(state) == sorted(changed)
    again = Journal(file)
    file.close()
    assert (again.objects, again.prompts, again.state) == (journal.objects, journal.prompts, journal.state)
    assert (again.revision, again.can_redo) == (journal.revision, journal.can_redo)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(ProjectFile(tmp_path / "a.tinct", create=True))


def test_what_changes_nothing_is_no_step(journal: Journal) -> None:
    journal.do(prompts={3: "a"})
    journal.do(prompts={3: "a", 4: None})
    assert journal.revision == 1
    journal.undo()
    with pytest.raises(ConflictError, match="nothing to undo"):
        journal.undo()
    journal.redo()
    with pytest.raises(ConflictError, match="nothing to redo"):
        journal.redo()


def test_a_deletion_makes_nothing_stale_but_taking_it_back_does(journal: Journal) -> None:
    journal.do(objects={1: AnnotatedObject("x", "#000000")}, prompts={2: "both"})
    before = journal.state
    journal.do(objects={1: None}, prompts={2: "one"}, deletes=True)
    assert journal.prompts_changed_since(before) == []
    after = journal.state
    journal.undo()
    assert journal.prompts_changed_since(after) == [2]
    assert journal.object_ids_ever == {1}


def test_every_kind_of_value_is_undone_and_done_again(journal: Journal) -> None:
    made = AnnotatedObject("x", "#000000")
    values = {"objects": made, "prompts": "a", "locks": 0, "verdicts": "kept", "finishing": [{"grow_px": 2}]}
    assert tuple(values) == KINDS
    journal.do(**{kind: {7: value} for kind, value in values.items()})
    for here in (journal, Journal(journal._file)):
        assert {kind: getattr(here, kind) for kind in KINDS} == {k: {7: v} for k, v in values.items()}
    journal.undo()
    assert not any(getattr(journal, kind) for kind in KINDS)
    journal.redo()
    assert journal.locks == {7: 0}
