"""Re-identification: which boxes of which frames look like a known object (section 2.1).

Rules only: arrays in, matches out. The similarity of a box to an object is the cosine to the nearest of
the object's templates; a box belongs to the most similar object, if that similarity reaches ρ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tinct.methods.dyenet.tracklets import Box, StartingPoint
from tinct.shapes import holds_arrays


@holds_arrays
@dataclass(frozen=True, repr=False)
class Template:
    """What an object looked like once.

    Attributes:
        object_id: Whose it is.
        frame: Where it was seen.
        embedding: [D], of length 1.
        round: In which it was learnt; 0 for annotated masks.
    """

    object_id: int
    frame: int
    embedding: Float[np.ndarray, "D"]
    round: int = 0

    @classmethod
    def of(cls, start: StartingPoint) -> Template:
        """What a starting point shows."""
        return cls(start.object_id, start.frame, start.embedding, start.round)


@holds_arrays
@dataclass(frozen=True, repr=False)
class Candidates:
    """The proposals of one frame, as re-identification sees them; they do not change between rounds.

    Attributes:
        frame: Its index.
        boxes: [P, 4] in pixels of the working frame, the likeliest first.
        embeddings: float16 [P, D], of length 1.
        objectness: [P].
    """

    frame: int
    boxes: Float[np.ndarray, "P 4"]
    embeddings: Float[np.ndarray, "P D"]
    objectness: Float[np.ndarray, "P"]


@holds_arrays
@dataclass(frozen=True, repr=False)
class Match:
    """A box that looks like an object.

    Attributes:
        frame: Where it is.
        object_id: The most similar object.
        box: In pixels of the working frame.
        embedding: [D], that of the box.
        similarity: To that object's nearest template.
        runner_up: The next object's similarity; -1 where there is none.
        runner_up_id: That object.
    """

    frame: int
    object_id: int
    box: Box
    embedding: Float[np.ndarray, "D"]
    similarity: float
    runner_up: float = -1.0
    runner_up_id: int | None = None


class TemplateSet:
    """Templates, ready to be compared with.

    Args:
        templates: Of any objects; an object without one is like nothing.
    """

    def __init__(self, templates: Iterable[Template]) -> None:
        per_object: dict[int, list[Float[np.ndarray, "D"]]] = {}
        for template in templates:
            per_object.setdefault(template.object_id, []).append(template.embedding)
        self.object_ids = tuple(sorted(per_object))
        self._stacked = [np.stack(per_object[i]).astype(np.float32) for i in self.object_ids]

    def similarities(self, embeddings: Float[np.ndarray, "P D"]) -> Float[np.ndarray, "P K"]:
        """The cosine to the nearest template of each object, in the order of `object_ids`."""
        points = embeddings.astype(np.float32)
        found = [(points @ templates.T).max(1) for templates in self._stacked]
        return np.stack(found, 1) if found else np.zeros((len(points), 0), np.float32)


def best_objects(
    similarities: Float[np.ndarray, "P K"], object_ids: Sequence[int], rho: float
) -> list[tuple[int, int, float, float, int | None]]:
    """Each box's best object, if it is similar enough.

    Of objects that are equally similar, the lower id is taken.

    Args:
        similarities: Of every box to every object.
        object_ids: Increasing.
        rho: The least similarity (ρ).

    Returns:
        (row of the box, object id, similarity, runner-up's similarity, runner-up's id) of the boxes
        that are someone's.
    """
    found: list[tuple[int, int, float, float, int | None]] = []
    for row, values in enumerate(similarities):
        # Sorted stably by falling similarity, so that equals stay in the order of their ids.
        order = np.argsort(-values, kind="stable")
        if not len(order) or values[order[0]] < rho:
            continue
        best, similarity = object_ids[order[0]], float(values[order[0]])
        if len(order) == 1:
            found.append((row, best, similarity, -1.0, None))
        else:
            found.append((row, best, similarity, float(values[order[1]]), object_ids[order[1]]))
    return found


def matched(
    candidates: Candidates, templates: TemplateSet, rho: float, taken: Collection[tuple[int, int]] = ()
) -> list[Match]:
    """The matches of one frame: at most one per object, the most similar; of equals the likelier box.

    Args:
        candidates: The frame's boxes.
        templates: What the objects look like.
        rho: The least similarity (ρ; 0.7 in the paper).
        taken: (frame, object id) that have a starting point already.
    """
    best: dict[int, Match] = {}
    found = best_objects(templates.similarities(candidates.embeddings), templates.object_ids, rho)
    for row, object_id, similarity, runner_up, runner_up_id in found:
        known = best.get(object_id)
        if (candidates.frame, object_id) in taken or (known and known.similarity >= similarity):
            continue
        x0, y0, x1, y1 = (float(edge) for edge in candidates.boxes[row])
        embedding = candidates.embeddings[row].astype(np.float32)
        best[object_id] = Match(
            candidates.frame, object_id, (x0, y0, x1, y1), embedding, similarity, runner_up, runner_up_id
        )
    return [best[i] for i in sorted(best)]
