from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.data.held_out import held_out
from tinct.data.occlusion import clips as occlusion
from tinct.data.occlusion.clips import OcclusionClip, OcclusionClips, is_valid, render_clip
from tinct.data.occlusion.objects import (
    BackgroundPool,
    Cutout,
    ObjectPool,
    cut_out_whole_object,
    largest_empty_box,
)
from tinct.data.occlusion.plan import ClipPlan, ObjectTrajectory, OcclusionOptions, TrajectorySegment
from tinct.data.occlusion.rendering import back_to_front, render_background, render_object
from tinct.data.occlusion.trajectories import smooth_curve
from tinct.data.static_images import StaticImages
from tinct.data.visibility import Visibility
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID

OPTIONS = OcclusionOptions(size=(96, 160), frames=(24, 30))


def clips_of(photos: Path, options: OcclusionOptions = OPTIONS) -> OcclusionClips:
    stills = StaticImages(photos, only=held_out)
    return OcclusionClips(ObjectPool(stills, None), BackgroundPool(stills, None), options)


@pytest.fixture(scope="module")
def clips(masked_photos: Path) -> list[OcclusionClip]:
    made = clips_of(masked_photos)
    return [made[index] for index in range(4)]


def test_clips_are_as_large_and_long_as_asked_for(clips: list[OcclusionClip]) -> None:
    for clip in clips:
        T = len(clip.images)
        assert 24 <= T <= 30
        assert clip.images.shape == (T, 96, 160, 3)
        assert clip.labels.shape == (T, 96, 160)
        assert 2 <= len(clip.objects) <= 3
    assert len({len(clip.images) for clip in clips}) > 1


def test_ids_are_kept_and_the_first_frame_shows_all(clips: list[OcclusionClip]) -> None:
    for clip in clips:
        ids = list(range(1, len(clip.objects) + 1))
        assert list(clip.objects) == ids
        assert set(np.unique(clip.labels)) == {0, *ids}
        assert set(np.unique(clip.labels[0])) == {0, *ids}


def test_every_clip_has_a_reappearance(clips: list[OcclusionClip]) -> None:
    for clip in clips:
        assert any(trace.reappears for trace in clip.objects.values())
    kinds = {d.kind for c in clips for trace in c.objects.values() for d in trace.disappearances}
    assert kinds == {Visibility.HIDDEN, Visibility.OUTSIDE}


def test_events_agree_with_the_truth(clips: list[OcclusionClip]) -> None:
    for clip in clips:
        for object_id, trace in clip.objects.items():
            seen = (clip.labels == object_id).sum((1, 2))
            gone = np.isin(trace.states, (Visibility.HIDDEN, Visibility.OUTSIDE))
            # Of an object that is gone no more than a slit is left: 2 % of it.
            whole = np.median(seen[trace.shares > 0.9]) if (trace.shares > 0.9).any() else seen.max()
            assert (seen[gone] <= max(1, 0.1 * whole)).all()
            assert (seen[~gone] > 0).all()
            for event in trace.disappearances:
                assert gone[event.first : event.last + 1].all()


def test_shares_are_those_of_the_truth(clips: list[OcclusionClip]) -> None:
    for clip in clips:
        for object_id, trace in clip.objects.items():
            seen = (clip.labels == object_id).sum((1, 2))
            assert ((trace.shares == 0) == (seen == 0)).all()
            assert trace.shares.max() <= 1


def test_what_was_sent_away_comes_back_at_another_size(clips: list[OcclusionClip]) -> None:
    least, most = OPTIONS.size_change
    factors = []
    for clip in clips:
        for trace in clip.objects.values():
            if trace.role in ("leaves", "behind"):
                assert trace.reappears
                changes = [d.size_factor for d in trace.disappearances if d.size_factor is not None]
                # One of the gaps is the one for which it was sent away; the camera zooms a little.
                largest = max(max(f, 1 / f) for f in changes)
                assert 0.9 * least <= largest <= 1.15 * most
                factors += changes
    assert min(factors) < 1 < max(factors)


def test_the_same_seed_gives_the_same_clip(masked_photos: Path, clips: list[OcclusionClip]) -> None:
    again = clips_of(masked_photos)[1]
    np.testing.assert_array_equal(again.images, clips[1].images)
    np.testing.assert_array_equal(again.labels, clips[1].labels)
    other = clips_of(masked_photos, OcclusionOptions((96, 160), (24, 30), seed=1))[1]
    assert other.images.shape != again.images.shape or (other.images != again.images).any()


def test_objects_move_smoothly_while_they_are_seen(clips: list[OcclusionClip]) -> None:
    for clip in clips:
        for object_id, trace in clip.objects.items():
            whole = trace.shares > 0.97
            centres = {
                t: np.argwhere(clip.labels[t] == object_id).mean(0) for t in np.flatnonzero(whole).tolist()
            }
            steps = [np.abs(centres[t + 1] - centres[t]).max() for t in centres if t + 1 in centres]
            assert max(steps, default=0) < 0.2 * 160


def block(rows: int = 20, columns: int = 14, colour: int = 200) -> Cutout:
    """A rectangle."""
    margin = Cutout.MARGIN
    alpha = np.pad(np.full((rows, columns), 255, np.uint8), margin)
    return Cutout(np.full((*alpha.shape, 3), colour, np.uint8), alpha)


def standing(
    x: float,
    bottom: float,
    size: float,
    object_id: int,
    frames: int = 1,
    turn: float = 0.0,
    colour: int = 200,
) -> ObjectTrajectory:
    """A rectangle that stays where it is."""
    curves = [np.full(frames, value) for value in (x, bottom, size, turn, bottom)]
    still = np.zeros((16, 16, 2), np.float32)
    segment = TrajectorySegment(0, (block(colour=colour),), *curves, mirrored=False, bends=(still, still))
    return ObjectTrajectory("a block", "crosses", object_id, (segment,))


def plan_of(
    trajectories: list[ObjectTrajectory], frames: int = 1, camera: tuple[float, float, float] = (1, 0, 0)
) -> ClipPlan:
    picture = np.full((96, 160, 3), 50, np.uint8)
    return ClipPlan(
        frames, "grey", picture, tuple(trajectories), np.tile(np.array(camera, float), (frames, 1))
    )


def test_an_object_stands_where_the_plan_says() -> None:
    layer = render_object(plan_of([]), standing(0.5, 0.8, 0.3, 7), 0, (100, 200))
    ys, xs = np.nonzero(layer.labels[0] == 7)
    tall = np.sqrt(20 / 14)
    # The square of side 0.3·100 has the box's area; the box stands on row 80 and is centred on column 100.
    assert ys.max() + 1 == pytest.approx(80, abs=1)
    assert (xs.min() + xs.max() + 1) / 2 == pytest.approx(100, abs=1)
    assert ys.max() + 1 - ys.min() == pytest.approx(30 * tall, abs=2)
    assert xs.max() + 1 - xs.min() == pytest.approx(30 / tall, abs=2)


def test_the_camera_zooms_about_the_centre_and_shifts_the_rest() -> None:
    layer = render_object(plan_of([], camera=(2.0, 0.1, 0.0)), standing(0.5, 0.5, 0.2, 7), 0, (100, 200))
    ys, xs = np.nonzero(layer.labels[0] == 7)
    assert ys.max() + 1 == pytest.approx(50, abs=1)
    assert (xs.min() + xs.max() + 1) / 2 == pytest.approx(100 + 0.1 * 200, abs=1)
    assert ys.max() + 1 - ys.min() == pytest.approx(2 * 20 * np.sqrt(20 / 14), abs=3)


def test_out_of_the_frame_there_is_nothing() -> None:
    layer = render_object(plan_of([]), standing(1.6, 0.8, 0.3, 7), 0, (100, 200))
    assert not layer.alphas.any()
    assert not layer.labels.any()


@settings(max_examples=15)
@given(
    places=st.lists(
        st.tuples(st.floats(0.0, 1.0), st.floats(0.3, 1.0), st.floats(0.2, 0.5), st.floats(-20, 20)),
        min_size=1,
        max_size=4,
        unique_by=lambda place: place[1],
    )
)
def test_the_truth_is_what_is_seen(places: list[tuple[float, float, float, float]]) -> None:
    size = (24, 40)
    # The last one is no object: it hides others, and is background itself.
    ids = [*range(1, len(places)), 0]
    trajectories = [standing(x, b, s, i, turn=r) for (x, b, s, r), i in zip(places, ids, strict=True)]
    trajectories.append(standing(0.5, 0.2, 0.3, len(places)))
    plan = plan_of(trajectories)
    clip = render_clip(plan, size)
    expected = slow_truth_of(plan, size)
    np.testing.assert_array_equal(clip.labels[0], expected)
    for object_id, trace in clip.objects.items():
        assert (trace.shares[0] > 0) == (expected == object_id).any()


def slow_truth_of(plan: ClipPlan, size: tuple[int, int]) -> np.ndarray:
    labels = np.zeros(size, np.uint8)
    alphas = [render_object(plan, trajectory, 0, size).alphas[0] for trajectory in plan.trajectories]
    for y in range(size[0]):
        for x in range(size[1]):
            covering = [p for p, alpha in zip(plan.trajectories, alphas, strict=True) if alpha[y, x] > 127]
            if covering:
                labels[y, x] = max(covering, key=lambda p: p.segments[0].depth[0]).object_id
    return labels


def test_what_stands_lower_covers_what_stands_higher() -> None:
    near, far = standing(0.5, 0.9, 0.4, 1, colour=250), standing(0.5, 0.7, 0.4, 2, colour=10)
    for trajectories in ([near, far], [far, near]):
        plan = plan_of(trajectories)
        assert [p.object_id for p in back_to_front(plan, 0)] == [2, 1]
        clip = render_clip(plan, (96, 160))
        assert (clip.images[clip.labels == 1] > 120).all()


def test_a_hidden_object_is_hidden_and_one_beyond_the_border_is_outside() -> None:
    behind, before, away = (
        standing(0.5, 0.7, 0.2, 1, 4),
        standing(0.5, 0.9, 0.6, 2, 4),
        standing(1.5, 0.8, 0.2, 3, 4),
    )
    objects = render_clip(plan_of([before, behind, away], 4), (96, 160)).objects
    assert set(objects[1].states) == {Visibility.HIDDEN}
    assert set(objects[2].states) == {Visibility.VISIBLE}
    assert set(objects[3].states) == {Visibility.OUTSIDE}
    assert objects[2].shares[0] == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(objects[1].sizes, 0.2)


def test_a_plan_whose_change_is_visible_is_not_valid() -> None:
    def changing(away: list[float]) -> bool:
        """Object 1 is at these places in turn, and changes between the middle two; object 2 stands by."""
        first, other = standing(0.3, 0.8, 0.2, 1, len(away)), standing(0.7, 0.8, 0.2, 2, len(away))
        old = first.segments[0]
        segments = [replace(old, first=k, x=np.array(away)) for k in (0, len(away) // 2)]
        plan = plan_of([ObjectTrajectory("a block", "leaves", 1, tuple(segments)), other], len(away))
        return is_valid(plan, render_clip(plan, (96, 160)).objects)

    assert changing([0.3, 0.3, 1.5, 1.5, 1.5, 0.3, 0.3])
    assert not changing([0.3, 1.5, 1.5, 1.5, 0.3, 0.3, 0.3, 0.3, 0.3])
    assert not changing([1.5, 1.5, 1.5, 1.5, 1.5, 0.3, 0.3])
    assert not changing([0.3] * 7)


def test_the_background_covers_the_frame() -> None:
    plan = plan_of([], camera=(1.0, 0.04, -0.04))
    assert (render_background(plan, 0, (96, 160)).images == 50).all()


def test_curves_are_smooth_and_stay_within_their_values() -> None:
    curve = smooth_curve([(0.0, 0.0), (10.0, 1.0), (20.0, 1.0)], 30)
    assert len(curve) == 30
    assert curve.min() >= 0
    assert curve.max() <= 1
    assert np.abs(np.diff(curve)).max() <= 0.1 + 1e-9
    assert curve[-1] == pytest.approx(1)


def slow_empty_box(labels: np.ndarray, aspect: float, step: int) -> int:
    """The rows of the largest empty box, place by place."""
    rows, columns = labels.shape
    near = cv2.dilate((labels > 0).astype(np.uint8), np.ones((7, 7), np.uint8))
    for h in range(min(rows, int(columns / aspect)), 0, -step):
        w = round(h * aspect)
        for y in range(rows - h + 1):
            for x in range(columns - w + 1):
                if w >= 1 and not near[y : y + h, x : x + w].any():
                    return h
    return 0


@settings(max_examples=20)
@given(
    spots=st.lists(
        st.tuples(st.integers(0, 29), st.integers(0, 39), st.sampled_from([1, 9, VOID])), max_size=4
    ),
    aspect=st.sampled_from([1.0, 1.78]),
)
def test_the_largest_empty_box_is_empty_and_none_is_larger(
    spots: list[tuple[int, int, int]], aspect: float
) -> None:
    labels = np.zeros((30, 40), np.uint8)
    for y, x, value in spots:
        labels[y, x] = value
    box = largest_empty_box(labels, aspect, step=4)
    expected = slow_empty_box(labels, aspect, 4)
    if box is None:
        assert expected == 0
        return
    y0, x0, y1, x1 = box
    assert not labels[y0:y1, x0:x1].any()
    assert y1 - y0 == expected
    assert x1 - x0 == round(expected * aspect)


def test_only_whole_objects_are_cut_out() -> None:
    image, labels = np.full((120, 160, 3), 90, np.uint8), np.zeros((120, 160), np.uint8)
    labels[20:90, 30:90] = 3
    image[labels == 3] = (200, 30, 30)
    cutout = cut_out_whole_object(image, labels, 3)
    assert cutout is not None
    # No colour of what lay behind shows.
    assert cutout.size == (70, 60)
    assert (cutout.image == (200, 30, 30)).all()
    assert (
        (cutout.mask[Cutout.MARGIN : -Cutout.MARGIN, Cutout.MARGIN : -Cutout.MARGIN]).sum()
        == cutout.mask.sum()
        == 70 * 60
    )
    assert cut_out_whole_object(image, np.roll(labels, -30, 1), 3) is None
    parts = labels.copy()
    parts[50:60] = 0
    assert cut_out_whole_object(image, parts, 3) is None
    small = np.zeros_like(labels)
    small[20:60, 30:60] = 3
    assert cut_out_whole_object(image, small, 3) is None


def test_without_objects_or_room_it_says_so(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((100, 100, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.zeros((100, 100), np.uint8))
    stills = StaticImages(tmp_path)
    random = np.random.default_rng(0)
    with pytest.raises(DatasetError, match="smaller than 3000 pixels"):
        ObjectPool(stills, None).draw(random)
    with pytest.raises(DatasetError, match="180 rows"):
        BackgroundPool(stills, None).draw(random, 1.0)


def test_pictures_without_a_valid_plan_are_an_error(
    masked_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OcclusionClips, "ATTEMPTS", 2)
    monkeypatch.setattr(occlusion, "is_valid", lambda *_: False)
    with pytest.raises(DatasetError, match="2 clips in a row"):
        clips_of(masked_photos)[0]


@pytest.mark.parametrize(
    "changed",
    [{"frames": (40, 30)}, {"frames": (10, 30)}, {"objects": (1, 2)}, {"size_change": (0.9, 1.2)},
     {"gone": (2, 4)}, {"size": (16, 160)}, {"seed": -1}],
)  # fmt: skip
def test_options_out_of_range_are_errors(changed: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="came"):
        OcclusionOptions(**changed)  # type: ignore[arg-type]


def test_objects_of_videos_have_two_poses(shared_data: Path) -> None:
    from tinct.data.davis import Davis

    pool = ObjectPool(None, Davis(shared_data / "davis-2016", "dev", only=["lucia"]))
    instance = pool.draw(np.random.default_rng(0))
    assert instance is not None
    assert instance.category == "lucia"
    assert len(instance.poses) == 2
    assert all(len(row) >= 12 for row in instance.poses)
