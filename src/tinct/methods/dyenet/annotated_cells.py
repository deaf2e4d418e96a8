"""What annotated frames show of every object, cell by cell: what a network with a template guide looks at."""

from __future__ import annotations

from collections.abc import Sequence

from tinct.methods.dyenet.sources import Sources
from tinct.methods.dyenet.tracklets import StartingPoint, box_tensor, patch_tensor, reboxed
from tinct.networks.dyenet.roll_out import TEMPLATE_ENLARGEMENT
from tinct.networks.dyenet.template_guide import TemplateCells
from tinct.ops.rois import cropped, pasted


class AnnotatedCells:
    """The annotated frames' cells, of every object, as every member of an ensemble sees them."""

    def __init__(self) -> None:
        self._cells: list[dict[int, TemplateCells]] = []

    def learn(self, starts: Sequence[StartingPoint], sources: Sources) -> None:
        """Add the annotated objects of one frame.

        Each remembers its own box, and those of the others as what it is not.
        """
        masks = [start.mask for start in starts]
        boxes, probs = reboxed(box_tensor(masks), patch_tensor(masks), (TEMPLATE_ENLARGEMENT - 1) / 2)
        boxes, probs = boxes.to(sources.device), probs.to(sources.device)
        full = pasted(probs, boxes, sources.size)
        self._cells = self._cells or [{} for _ in sources.members]
        encodings = sources.around(starts[0].frame, boxes)
        for known, member, encoding in zip(self._cells, sources.members, encodings, strict=True):
            for row, start in enumerate(starts):
                shown = cropped(full[row].expand_as(full), boxes, probs.shape[-1])
                seen = member.remember(encoding, boxes, shown)
                if seen is None:
                    break
                before = [known[start.object_id]] if start.object_id in known else []
                known[start.object_id] = TemplateCells.joined([*before, *_own_and_others(seen, row)])

    def of(self, member: int, object_ids: Sequence[int]) -> TemplateCells | None:
        """A row for each of some objects; None if the member does not look at templates."""
        known = self._cells[member] if self._cells else {}
        return TemplateCells.stacked([known[i] for i in object_ids]) if known else None


def _own_and_others(cells: TemplateCells, own: int) -> list[TemplateCells]:
    """All cells of the own box, and of the others every second one: there may be many of them."""
    return [
        TemplateCells(*(maps[row : row + 1, ..., :: 1 if row == own else 2] for maps in cells))
        for row in range(len(cells.shares))
    ]
