"""What a paper's table of ablations is made of: rows, each with the options that differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinct.errors import OptionError, near_match


@dataclass(frozen=True)
class AblationRow:
    """One row.

    Attributes:
        name: On the command line, and of the row's folder.
        title: In tables.
        options: Fields of the method's `Options`, in the place of the preset's.
        method: The method that the row runs, where it is not the table's own; its weights are then that
            method's too.
        config: Fields of `Options.config` that differ in weights of the row's own (`--weights NAME=FILE`).
        fine_tuned: Whether objects are fine-tuned at all.
        needs_weights: What weights of its own the row needs; it then runs only with
            `--weights NAME=FILE`. Empty if the method's own weights serve.
        published: The variant of its method in `published.json`; None if there is no figure.
        paper: As `published.json` calls the row's method, where it is not the table's own.
        against: The row that it is compared with, and others for where that one could not be run;
            empty for the first.
        direction: Which way the paper says that the row moved against these, +1 or -1, where it
            gives no figure; 0 where figures say it, or nobody does.
        note: What a reader should know.
    """

    name: str
    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    fine_tuned: bool = True
    needs_weights: str = ""
    published: str | None = None
    paper: str = ""
    against: tuple[str, ...] = ()
    direction: int = 0
    note: str = ""


@dataclass(frozen=True)
class AblationTable:
    """The rows of one paper.

    Attributes:
        method: As in the zoo.
        paper: As `published.json` calls the method.
        dataset: Where the paper measured.
        split: Likewise.
        rows: In the paper's order.
        measure: What the rows are compared by: "J", or "G", the mean of J and F; that on occlusion clips
            is of the frames after a reappearance ("G after").
    """

    method: str
    paper: str
    dataset: str
    split: str
    rows: tuple[AblationRow, ...]
    measure: str = "J"

    def chosen(self, names: list[str] | None) -> tuple[AblationRow, ...]:
        """The rows of these names, in the table's order; all for None.

        Raises:
            OptionError: There is no such row.
        """
        known = [row.name for row in self.rows]
        for name in names or ():
            if name not in known:
                raise OptionError(f"{self.method} has no ablation row {name!r}. {near_match(name, known)}")
        return tuple(row for row in self.rows if names is None or row.name in names)
