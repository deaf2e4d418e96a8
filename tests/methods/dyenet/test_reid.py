from __future__ import annotations

import numpy as np
import pytest

from tinct.methods.dyenet.reid import Candidates, Template, TemplateSet, best_objects, matched


def direction(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], np.float32)


def template(object_id: int, degrees: float) -> Template:
    return Template(object_id, 0, direction(degrees))


def candidates(*degrees: float, frame: int = 3) -> Candidates:
    boxes = np.array([[10 * i, 0, 10 * i + 8, 8] for i in range(len(degrees))], np.float32).reshape(-1, 4)
    embeddings = (
        np.stack([direction(d) for d in degrees]).astype(np.float16)
        if degrees
        else np.zeros((0, 2), np.float16)
    )
    return Candidates(frame, boxes, embeddings, np.ones(len(degrees), np.float32))


def test_the_similarity_is_that_of_the_nearest_template() -> None:
    templates = TemplateSet([template(5, 0), template(5, 90), template(1, 180)])
    assert templates.object_ids == (1, 5)
    similarities = templates.similarities(candidates(60, 180).embeddings)
    np.testing.assert_allclose(
        similarities, [[np.cos(np.deg2rad(120)), np.cos(np.deg2rad(30))], [1, 0]], atol=2e-3
    )
    assert TemplateSet([]).similarities(candidates(60).embeddings).shape == (1, 0)


def test_a_box_belongs_to_the_best_object_alone_if_it_reaches_rho() -> None:
    found = best_objects(np.array([[0.8, 0.75], [0.69, 0.1], [0.2, 0.7]], np.float32), (1, 5), 0.7)
    assert [(row, i, j) for row, i, _, _, j in found] == [(0, 1, 5), (2, 5, 1)]
    assert found[0][2:4] == pytest.approx((0.8, 0.75))


def test_a_tie_goes_to_the_lower_id_and_shows() -> None:
    ((row, object_id, similarity, runner_up, runner_up_id),) = best_objects(
        np.array([[0.75, 0.75, 0.7]], np.float32), (2, 4, 9), 0.7
    )
    assert (row, object_id, runner_up_id) == (0, 2, 4)
    assert similarity == runner_up


def test_one_object_has_no_runner_up() -> None:
    assert best_objects(np.array([[0.9]], np.float32), (3,), 0.7)[0][3:] == (-1.0, None)


def test_of_several_boxes_the_best_is_taken_and_of_equals_the_likelier() -> None:
    templates = TemplateSet([template(1, 0), template(2, 90)])
    (match,) = matched(candidates(20, 10, 10), templates, 0.7)
    assert (match.frame, match.object_id, match.box) == (3, 1, (10, 0, 18, 8))
    assert match.similarity == pytest.approx(np.cos(np.deg2rad(10)), abs=2e-3)
    first, second = matched(candidates(85, 10), templates, 0.7)
    assert (first.object_id, second.object_id) == (1, 2)


def test_what_has_a_starting_point_already_gets_no_other_but_still_competes() -> None:
    templates = TemplateSet([template(1, 0), template(2, 60)])
    assert matched(candidates(10), templates, 0.4, {(3, 1)}) == []
    assert len(matched(candidates(10), templates, 0.4, {(2, 1)})) == 1


def test_a_frame_without_boxes_has_no_matches() -> None:
    assert matched(candidates(), TemplateSet([template(1, 0)]), 0.7) == []
