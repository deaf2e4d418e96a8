"""Sessions: whatever was painted, taken back and run before, masks are those of a fresh run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_kit import FAULTS, Fault, prompt
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct import zoo
from tinct.errors import FrameIndexError, MaskError, NumericalError, OptionError, UnknownLengthError
from tinct.inference import session as sessions
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.directions import Direction
from tinct.inference.segmenter import (
    StreamingSegmenter,
    VideoSegmenter,
    check_prompts,
    frame_results,
    segment_video,
)
from tinct.inference.session import Session, SessionFrame
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.io.video import Video
from tinct.metrics.region import region_similarity

H, W, FRAMES = 8, 11, 14


@dataclass(frozen=True)
class Drifted:
    object_ids: tuple[int, ...]
    probs: torch.Tensor
    painted: tuple[np.ndarray, ...]


class Drift(StreamingSegmenter[Drifted]):
    """Every result depends on all frames and prompts before it; counts the frames that it is asked for."""

    def __init__(self, pull: float = 0.1) -> None:
        self.pull = pull
        self.asked: list[int] = []

    def start(self, frame: np.ndarray, labels: np.ndarray) -> Drifted:
        self.asked.append(int(frame[0, 0, 0]))
        masks = ObjectMasks.from_label_map(labels)
        return Drifted(masks.object_ids, torch.from_numpy(masks.probs), (labels,))

    def step(
        self, state: Drifted, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[Drifted, ObjectMasks]:
        self.asked.append(int(frame[0, 0, 0]))
        brightness = torch.from_numpy(frame[..., 1].astype(np.float32) / 255)
        references = sum(float(painted.sum()) for painted in state.painted) % 7 / 7
        moved = 0.8 * state.probs.roll(1, dims=2) + self.pull * brightness + 0.1 * references
        masks = ObjectMasks(state.object_ids, (moved.clamp(0, 1) / len(state.object_ids)).numpy())
        if labels is not None:
            masks = masks.corrected(labels)
        painted = state.painted if labels is None else (*state.painted, labels)
        return Drifted(masks.object_ids, torch.from_numpy(masks.probs), painted), masks


class Whole(VideoSegmenter):
    given = 0

    def segment(self, video: Video, prompts: Mapping[int, np.ndarray]) -> Iterator[tuple[int, ObjectMasks]]:
        for index, _ in enumerate(video):
            self.given += 1
            yield index, ObjectMasks.from_label_map(prompts[max(prompts)])


@pytest.fixture(scope="module")
def video() -> Video:
    draws = np.random.default_rng(0)
    frames = [draws.integers(0, 256, (H, W, 3), np.uint8) for _ in range(FRAMES)]
    for index, frame in enumerate(frames):
        frame[..., 0] = index
    return Video.from_arrays(frames)


def painted(seed: int, *object_ids: int) -> np.ndarray:
    draws = np.random.default_rng(seed)
    labels = draws.choice([0, 255, *object_ids], (H, W)).astype(np.uint8)
    labels[0, : len(object_ids)] = object_ids
    return labels


def same(one: Mapping[int, ObjectMasks], other: Mapping[int, ObjectMasks]) -> bool:
    return one.keys() == other.keys() and all(
        one[i].object_ids == other[i].object_ids and np.array_equal(one[i].probs, other[i].probs) for i in one
    )


def masks_of(frames: Iterator[SessionFrame]) -> dict[int, ObjectMasks]:
    return {frame.index: frame.masks for frame in frames}


def expected(video: Video, prompts: Mapping[int, np.ndarray], direction: Direction) -> dict[int, ObjectMasks]:
    """What a fresh run gives, without a session."""
    if direction == "both":
        return dict(segment_video(Bidirectional(Drift()), video, prompts))
    frames = range(len(video))[:: -1 if direction == "backward" else 1]
    results = frame_results(Drift(), video, check_prompts(video, prompts), frames)
    return {result.index: result.masks for result in results}


DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_run_gives_every_frame_with_its_confidence(video: Video, direction: Direction) -> None:
    prompts = {2: painted(0, 1, 5), 9: painted(1, 5)}
    frames = list(Session(Drift(), video, prompts).run(direction=direction))
    order = range(FRAMES)[:: -1 if direction == "backward" else 1]
    assert [frame.index for frame in frames] == list(order)
    assert same(masks_of(iter(frames)), expected(video, prompts, direction))
    assert all(0 <= frame.confidence <= 1 for frame in frames)
    assert len({round(frame.confidence, 6) for frame in frames}) > 2


def test_backward_is_forward_on_the_video_turned_round(video: Video) -> None:
    prompts = {3: painted(0, 1), 10: painted(1, 1, 7)}
    turned = Video.from_arrays(list(video)[::-1])
    mirrored = {FRAMES - 1 - index: labels for index, labels in prompts.items()}
    forward = masks_of(Session(Drift(), turned, mirrored).run())
    backward = masks_of(Session(Drift(), video, prompts).run(direction="backward"))
    assert same(backward, {FRAMES - 1 - index: masks for index, masks in forward.items()})


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("correct"), st.integers(0, FRAMES - 1), st.integers(0, 5)),
        st.tuples(st.just("withdraw"), st.integers(0, FRAMES - 1), st.just(0)),
        st.tuples(st.just("delete"), st.sampled_from([1, 5, 7]), st.just(0)),
        st.tuples(st.sampled_from(DIRECTIONS), st.integers(0, FRAMES - 1), st.integers(0, FRAMES)),
        st.tuples(st.just("open again"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


def act(session: Session, what: str, first: int, second: int) -> None:
    if what == "correct":
        session.correct(first, painted(second, *((1,), (1, 5), (5, 7))[second % 3]))
    elif what == "withdraw" and first in session.prompts:
        session.withdraw(first)
    elif what == "delete" and first in session.object_ids:
        session.delete_object(first)
    elif what in DIRECTIONS and session.prompts:
        run = session.run(first, direction=what)
        for _ in zip(range(second), run, strict=False):
            pass
        run.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("room_bytes", [10**9, 2_000])
@settings(max_examples=15)
@given(actions=ACTIONS, on_disk=st.booleans())
def test_whatever_happened_before_the_masks_are_those_of_a_fresh_run(
    actions: list[tuple[str, int, int]],
    on_disk: bool,
    room_bytes: int,
    video: Video,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("states") if on_disk else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "BETWEEN_STATES_IN_MEMORY", 2)
        patch.setattr(sessions, "BETWEEN_STATES_ON_DISK", 3)
        patch.setattr(sessions, "IN_MEMORY_BYTES", room_bytes)
        session = Session(Drift(), video, folder=folder)
        for what, first, second in actions:
            if what == "open again":
                session = Session(Drift(), video, session.prompts, folder=folder)
            else:
                act(session, what, first, second)
        if not session.prompts:
            session.correct(4, painted(3, 1))
        for direction in DIRECTIONS:
            found = masks_of(session.run(direction=direction))
            assert same(found, expected(video, session.prompts, direction))


@pytest.mark.parametrize(("direction", "ahead"), [("forward", 1), ("backward", -1)])
def test_a_rerun_from_a_correction_asks_for_few_frames(
    video: Video, direction: Direction, ahead: int
) -> None:
    segmenter = Drift()
    session = Session(segmenter, video, {0: painted(0, 1), FRAMES - 1: painted(1, 1)})
    list(session.run(direction=direction))
    session.correct(7, painted(2, 1))
    segmenter.asked.clear()
    frames = session.run(7, direction=direction)
    assert next(frames).index == 7
    assert len(segmenter.asked) <= sessions.BETWEEN_STATES_IN_MEMORY
    assert segmenter.asked[-1] == 7
    # The second correction of the same frame begins right before it.
    session.correct(7, painted(3, 1))
    segmenter.asked.clear()
    assert [frame.index for frame in session.run(7, 7 + 2 * ahead, direction)] == [7, 7 + ahead]
    assert segmenter.asked == [7, 7 + ahead]


def test_a_run_that_was_closed_goes_on_where_it_stood(video: Video) -> None:
    segmenter = Drift()
    session = Session(segmenter, video, {0: painted(0, 1)})
    run = session.run()
    assert [next(run).index for _ in range(4)] == [0, 1, 2, 3]
    run.close()  # type: ignore[attr-defined]
    segmenter.asked.clear()
    assert [frame.index for frame in session.run(4, 6)] == [4, 5]
    assert segmenter.asked == [4, 5]


def test_frames_before_the_first_prompt_are_not_computed(video: Video) -> None:
    segmenter = Drift()
    session = Session(segmenter, video, {6: painted(0, 1)})
    assert [frame.masks.object_ids for frame in session.run(4, 8)] == [(), (), (1,), (1,)]
    assert segmenter.asked == [6, 7]
    assert [frame.index for frame in Session(Drift(), video, {6: painted(0, 1)}).run(9, 11)] == [9, 10]


def test_states_in_the_folder_serve_the_next_session_but_not_another_segmenter(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BETWEEN_STATES_ON_DISK", 3)
    prompts = {0: painted(0, 1, 5)}
    list(Session(Drift(), video, prompts, folder=tmp_path).run(0, 8))
    for segmenter, another, first in (
        (Drift(), video, 6),
        (Drift(pull=0.2), video, 0),
        (Drift(), Video.from_arrays(list(video)[::-1]), None),
    ):
        later = Session(segmenter, another, prompts, folder=tmp_path)
        found = masks_of(later.run(7, 9))
        assert segmenter.asked[0] == (13 if first is None else first)
        fresh = dict(segment_video(Drift(segmenter.pull), another, prompts))
        assert same(found, {index: fresh[index] for index in (7, 8)})


def test_taking_a_correction_back_gives_the_old_masks(video: Video) -> None:
    session = Session(Drift(), video, {0: painted(0, 1, 5)})
    before = masks_of(session.run())
    session.correct(5, painted(1, 5))
    changed = masks_of(session.run(5))
    assert not any(np.array_equal(changed[i].probs, before[i].probs) for i in range(5, FRAMES))
    session.withdraw(5)
    assert same(masks_of(session.run()), before)


def test_a_corrected_frame_is_as_painted_and_other_objects_stay(video: Video) -> None:
    session = Session(Drift(), video, {0: painted(0, 1, 5)})
    correction = np.zeros((H, W), np.uint8)
    correction[2:5, 3:7] = 5
    session.correct(5, correction)
    corrected = masks_of(session.run(5, 6))[5]
    assert corrected.object_ids == (1, 5)
    np.testing.assert_array_equal(corrected.label_map == 5, correction == 5)


def test_a_run_under_way_is_not_disturbed_by_a_correction(video: Video) -> None:
    session = Session(Drift(), video, {0: painted(0, 1)})
    before = masks_of(Session(Drift(), video, session.prompts).run())
    run = session.run()
    found = {frame.index: frame.masks for frame in (next(run) for _ in range(3))}
    session.correct(5, painted(1, 1))
    found |= masks_of(run)
    assert same(found, before)
    assert same(masks_of(session.run()), expected(video, session.prompts, "forward"))


def test_labels_that_are_painted_on_afterwards_do_not_change_the_prompt(video: Video) -> None:
    labels = painted(0, 1)
    session = Session(Drift(), video, {0: labels})
    labels[:] = 7
    assert session.object_ids == (1,)


def test_a_deleted_object_is_gone_from_all_prompts_and_masks(video: Video) -> None:
    session = Session(Drift(), video, {0: painted(0, 1, 5), 4: painted(1, 5), 8: painted(2, 7)})
    list(session.run())
    session.delete_object(5)
    assert session.object_ids == (1, 7)
    assert list(session.prompts) == [0, 8]
    assert object_ids_of(session.prompts[0]) == (1,)
    assert all(5 not in masks.object_ids for masks in masks_of(session.run()).values())


def test_a_segmenter_of_whole_videos_gives_the_range_in_order(video: Video) -> None:
    segmenter = Whole()
    session = Session(segmenter, video, {3: painted(0, 2)})
    assert [frame.index for frame in session.run(5, 8)] == [5, 6, 7]
    assert segmenter.given == 8
    assert [frame.index for frame in session.run(5, None, "backward")] == [0, 1, 2, 3, 4, 5]
    assert [frame.index for frame in session.run(3, 3)] == []


def test_where_runs_from_two_prompts_disagree_a_frame_is_less_sure(video: Video) -> None:
    left, right = np.zeros((2, H, W), np.uint8)
    left[:, :4], right[:, 7:] = 1, 1
    prompts = {0: left, 9: right}
    frames = {f.index: f for f in Session(Drift(0.0), video, prompts).run(direction="both")}
    agreed = {
        i: value for i, _, value in Bidirectional(Drift(0.0)).compared(video, prompts) if value is not None
    }
    assert list(agreed) == list(range(1, 9))
    assert all(frames[index].confidence == agreed[index] < 0.5 < frames[10].confidence for index in agreed)


def test_what_a_failed_frame_left_is_not_gone_on_from(video: Video) -> None:
    class Fails(Drift):
        fail = True

        def step(
            self, state: Drifted, frame: np.ndarray, labels: np.ndarray | None = None
        ) -> tuple[Drifted, ObjectMasks]:
            new, masks = super().step(state, frame, labels)
            if self.fail and frame[0, 0, 0] == 4:
                bad = torch.full_like(new.probs, float("nan"))
                return Drifted(new.object_ids, bad, new.painted), ObjectMasks(masks.object_ids, bad.numpy())
            return new, masks

    segmenter = Fails()
    session = Session(segmenter, video, {0: painted(0, 1)})
    with pytest.raises(NumericalError, match="frame 4"):
        list(session.run())
    segmenter.fail = False
    segmenter.asked.clear()
    rest = masks_of(session.run(4))
    assert segmenter.asked[0] == 4
    fresh = expected(video, session.prompts, "forward")
    assert same(rest, {index: fresh[index] for index in range(4, FRAMES)})


def test_memory_does_not_grow_with_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "IN_MEMORY_BYTES", 5_000)
    frame = np.zeros((H, W, 3), np.uint8)
    taken = []
    for frames in (50, 250):
        session = Session(Drift(), Video.from_arrays([frame] * frames), {0: painted(0, 1, 5)})
        for _ in session.run():
            pass
        ((_, states),) = session._states[False]
        taken.append(states._used_bytes())
        assert max(place.done for place in states.places()) == frames
    assert max(taken) <= 5_000


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("segmenter", [Drift(), Whole()])
def test_a_run_without_a_prompt_is_refused_at_once(
    video: Video, segmenter: Any, direction: Direction
) -> None:
    with pytest.raises(OptionError, match="No prompt came"):
        Session(segmenter, video).run(direction=direction)


def test_what_is_refused(video: Video) -> None:
    session = Session(Drift(), video, {0: painted(0, 1)})
    with pytest.raises(OptionError, match=r"frame 14 came.*frames 0 to 13"):
        session.correct(FRAMES, painted(0, 1))
    with pytest.raises(MaskError, match="11×7 pixels and its frame is 11×8"):
        session.correct(3, painted(0, 1)[1:])
    with pytest.raises(MaskError, match="holds no object"):
        session.correct(3, np.zeros((H, W), np.uint8))
    with pytest.raises(OptionError, match=r"frame 3 was to be withdrawn.*painted are: 0"):
        session.withdraw(3)
    with pytest.raises(OptionError, match=r"Object 9 was to be deleted.*objects are: 1"):
        session.delete_object(9)
    with pytest.raises(OptionError, match="no direction 'sideways'"):
        session.run(direction="sideways")
    with pytest.raises(OptionError, match=r"Frame 14 came.*frames 0 to 13"):
        session.run(14)
    with pytest.raises(OptionError, match="frame -2 came"):
        Session(Drift(), video, {-2: painted(0, 1)})
    assert list(session.prompts) == [0]


def test_a_correction_changes_later_frames_for_the_better() -> None:
    """With the compact FEELVOS: an object turns blue, is lost, is painted once more, and then is held."""
    if zoo.weights_record("feelvos", "mobilenetv2") is None:
        pytest.skip("needs the weights in the package")
    draws = np.random.default_rng(3)
    ground = np.kron(draws.integers(90, 150, (12, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames, truths = [], []
    for t in range(10):
        truth = np.zeros(ground.shape[:2], np.uint8)
        truth[20 + 2 * t : 55 + 2 * t, 12 + 6 * t : 44 + 6 * t] = 3
        colour = (210, 60, 40) if t < 4 else (105, 115, 150)
        frames.append(np.where((truth == 3)[..., None], np.array(colour, np.uint8), ground))
        truths.append(truth)
    segmenter = zoo.build_segmenter("feelvos", preset="fast", device="cpu", working_height=96)
    session = Session(segmenter, Video.from_arrays(frames), {0: truths[0]})

    def quality() -> float:
        later = masks_of(session.run(6))
        return float(np.mean([region_similarity(later[t].label_map == 3, truths[t] == 3) for t in later]))

    before = quality()
    session.correct(5, truths[5])
    corrected = quality()
    session.withdraw(5)
    assert corrected > before + 0.2
    assert quality() == before


def small(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


def two_by_three() -> Session:
    return Session(Drift(), np.zeros((4, 2, 3, 3), np.uint8))


def test_an_object_is_added_to_a_frame_and_the_others_stay() -> None:
    session = two_by_three()
    session.add_mask(1, 5, np.array([[True, True, False], [False, False, False]]))
    session.add_mask(1, 7, [[0, 255, 255], [0, 0, 0]])  # where they meet, the one that was there stays
    np.testing.assert_array_equal(session.prompts[1], [[5, 5, 7], [0, 0, 0]])
    assert session.object_ids == (5, 7)


def test_an_object_that_is_added_again_takes_the_place_of_its_old_mask() -> None:
    session = two_by_three()
    session.correct(0, small([1, 1, 2], [255, 0, 0]))
    session.add_mask(0, 1, torch.tensor([[0, 0, 0], [1, 1, 0]]))
    np.testing.assert_array_equal(session.prompts[0], [[0, 0, 2], [1, 1, 0]])
    session.add_mask(0, 1, small([1, 0, 0], [0, 0, 0]))
    np.testing.assert_array_equal(session.prompts[0], [[1, 0, 2], [0, 0, 0]])


@pytest.mark.parametrize(
    ("index", "object_id", "mask", "error", "message"),
    [
        (9, 1, small([1, 0, 0], [0, 0, 0]), FrameIndexError, "frame 9 came, but the video has frames 0 to 3"),
        (0, 255, small([1, 0, 0], [0, 0, 0]), OptionError, "object id 255 came; ids lie between 1 and 254"),
        (0, 1, small([0, 0, 0], [0, 0, 0]), MaskError, "The mask of object 1 on frame 0 holds no object"),
        (0, 1, small([1, 0, 2], [0, 0, 0]), MaskError, "mask == 1"),
        (0, 1, small([1, 0]), MaskError, "2×1 pixels and its frame is 3×2"),
        (0, 1, small([0, 0, 9], [0, 0, 0]), MaskError, "painted as other objects"),
    ],
)
def test_a_mask_that_cannot_be_added_is_refused(
    index: int, object_id: int, mask: np.ndarray, error: type[Exception], message: str
) -> None:
    session = two_by_three()
    session.correct(0, small([0, 0, 2], [0, 0, 0]))
    with pytest.raises(error, match=message):
        session.add_mask(index, object_id, mask)
    assert list(session.prompts) == [0]


def test_a_session_takes_whatever_is_a_video_but_a_stream(tmp_path: Path) -> None:
    session = Session(Drift(), [np.zeros((2, 3, 3), np.uint8)] * 4, {0: [[0, 0, 3], [0, 0, 0]]})
    assert (len(session.video), session.object_ids) == (4, (3,))
    with pytest.raises(UnknownLengthError, match=r"list\(frames\)"):
        Session(Drift(), iter([np.zeros((2, 3, 3), np.uint8)]))


def test_an_unknown_object_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="the painted objects are: none"):
        two_by_three().delete_object(4)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_frame_that_breaks_the_rules_comes_out(fault: Fault) -> None:
    segmenter, video = fault.make()
    found = fault.found_in(Session(segmenter, video, {0: prompt()}).run())
    assert [frame.index for frame in found] == fault.good
