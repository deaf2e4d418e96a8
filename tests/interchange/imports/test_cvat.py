from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinct.errors import MaskError
from tinct.interchange.imports import read_annotations
from tinct.io.masks import MaskWarning
from tinct.io.video import Video

Save = Callable[..., Path]

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>walk</name><labels>
    <label><name>cat</name><attributes></attributes></label>
    <label><name>dog</name></label>
  </labels></task></meta>
"""


def picture(shapes: str, name: str = "frame_000001.PNG", width: int = 16, height: int = 12) -> str:
    return f'<image id="0" name="{name}" width="{width}" height="{height}">{shapes}</image>'


def cvat(*pictures: str) -> str:
    return HEAD + "".join(pictures) + "</annotations>"


DOG = '<polygon label="dog" points="1.00,1.00;6.00,1.00;6.00,6.00;1.00,6.00" z_order="0"></polygon>'


def test_shapes_are_painted_by_their_height(video: Video, save: Save) -> None:
    shapes = (
        '<box label="cat" xtl="4" ytl="4" xbr="9" ybr="9" z_order="2"></box>'
        + DOG
        + '<mask label="dog" rle="1, 2, 3, 2" left="3" top="4" width="4" height="2" z_order="1"></mask>'
        + '<tag label="dog"></tag>'
    )
    with pytest.warns(MaskWarning, match="the 2 shapes 'dog' of frame 1 are one object"):
        prompts, names = read_annotations(save(cvat(picture(shapes)), "a.xml"), video)
    assert list(prompts) == [1]
    # The order of the task's labels, not that of the shapes.
    assert names == {1: "cat", 2: "dog"}
    expected = np.zeros((12, 16), np.uint8)
    expected[1:6, 1:6] = 2
    # Along the rows: .XX. / ..XX
    expected[4, 4:6] = 2
    expected[5, 5:7] = 2
    expected[4:9, 4:9] = 1
    np.testing.assert_array_equal(prompts[1], expected)


def test_a_mask_is_counted_along_its_rows(video: Video, save: Save) -> None:
    shapes = '<mask label="dog" rle="1, 2, 3, 2" left="10" top="8" width="4" height="2" z_order="0"></mask>'
    labels = read_annotations(save(cvat(picture(shapes)), "a.xml"), video).prompts[1]
    assert labels[8:10, 10:14].tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]
    assert labels.sum() == 4


def test_several_pictures_are_several_frames(video: Video, save: Save) -> None:
    cat = '<box label="cat" xtl="8" ytl="2" xbr="10" ybr="4" z_order="0" group_id="0"></box>'
    text = cvat(picture(cat, "a/00003.png"), picture("", "a/00002.png"), picture(DOG, "a/00000.png"))
    prompts, names = read_annotations(save(text, "a.xml"), video)
    assert list(prompts) == [0, 3]
    assert names == {1: "cat", 2: "dog"}
    assert (prompts[0].max(), prompts[3].max()) == (2, 1)
    # One of them alone has the same ids.
    alone = read_annotations(save(text, "a.xml"), video, frame=0)
    assert (list(alone.prompts), alone.names) == ([0], {2: "dog"})
    with pytest.raises(MaskError, match="none is called like frame 1"):
        read_annotations(save(text, "a.xml"), video, frame=1)


def test_groups_are_objects(video: Video, save: Save) -> None:
    shapes = "".join(
        f'<box label="cat" xtl="{x}" ytl="0" xbr="{x + 2}" ybr="1" z_order="0" group_id="{group}"></box>'
        for x, group in ((0, 2), (4, 1), (8, 2))
    )
    labels = read_annotations(save(cvat(picture(shapes)), "a.xml"), video).prompts[1]
    assert labels[0].tolist() == [2, 2, 0, 0, 1, 1, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0]


def test_a_hole_is_background(video: Video, save: Save) -> None:
    hole = '<box label="background" xtl="2" ytl="2" xbr="4" ybr="4" z_order="1"></box>'
    text = cvat(picture(DOG + hole)).replace("<name>cat<", "<name>background<")
    prompts, names = read_annotations(save(text, "a.xml"), video)
    assert (int((prompts[1] > 0).sum()), list(names.values())) == (21, ["dog"])


def test_shapes_that_are_not_read_are_left_out_with_a_warning(video: Video, save: Save) -> None:
    tip = '<points label="cat" points="1,1" z_order="0"></points>'
    with pytest.warns(MaskWarning, match="Left out: Picture 'frame_000001.PNG' of a.xml has a points"):
        assert read_annotations(save(cvat(picture(DOG + tip)), "a.xml"), video).names == {1: "dog"}


def keyframe(frame: int, left: int, outside: int = 0, keyframe: int = 1) -> str:
    return (
        f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" xtl="{left}" ytl="0" '
        f'xbr="{left + 2}" ybr="1" z_order="0"></box>'
    )


def track(number: int, *shapes: str, label: str = "cat", more: str = "") -> str:
    return f'<track id="{number}" label="{label}" source="manual"{more}>{"".join(shapes)}</track>'


def test_keyframes_of_tracks_are_prompts_and_track_ids_are_kept(video: Video, save: Save) -> None:
    text = cvat(
        track(1, keyframe(0, 0), keyframe(2, 2, keyframe=0), keyframe(3, 4), keyframe(4, 6, outside=1)),
        track(2, keyframe(0, 8), keyframe(1, 8, outside=1)),
        track(5, keyframe(3, 12), label="dog"),
    )
    prompts, names = read_annotations(save(text, "a.xml"), video)
    assert {index: labels[0].tolist() for index, labels in prompts.items()} == {
        0: [1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0],
        3: [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 5, 0, 0],
    }
    assert names == {1: "cat", 2: "cat", 5: "dog"}
    alone = read_annotations(save(text, "a.xml"), video, frame=3)
    assert (list(alone.prompts), alone.names) == ([3], {1: "cat", 5: "dog"})


def test_a_file_with_a_track_0_has_all_ids_shifted_by_one_and_says_so(video: Video, save: Save) -> None:
    first, second = track(0, keyframe(0, 0)), track(1, keyframe(0, 4), label="dog")
    with pytest.warns(
        MaskWarning, match=r"from 0, .* 1 is added to each: track 0 is object 1, track 1 is object 2\."
    ) as caught:
        read = read_annotations(save(cvat(first, second), "a.xml"), video)
    assert len(caught) == 1
    assert read.prompts[0][0, :6].tolist() == [1, 1, 0, 0, 2, 2]
    # The same when tracks are added later, and in whatever order.
    third = track(2, keyframe(0, 8), label="dog")
    with pytest.warns(MaskWarning, match="track 2 is object 3"):
        later = read_annotations(save(cvat(third, second, first), "b.xml"), video, known=read.names)
    assert later.names == {1: "cat", 2: "dog", 3: "dog"}


def test_shapes_of_one_label_without_a_group_are_one_object_and_it_is_said(video: Video, save: Save) -> None:
    shapes = "".join(
        f'<box label="cat" xtl="{x}" ytl="0" xbr="{x + 2}" ybr="1" z_order="0"></box>' for x in (0, 4, 8)
    )
    with pytest.warns(MaskWarning, match="the 3 shapes 'cat' of frame 1 are one object.* group") as caught:
        labels = read_annotations(save(cvat(picture(shapes)), "a.xml"), video).prompts[1]
    assert len(caught) == 1
    assert labels[0, :10].tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cvat(track(1, keyframe(5, 0))), "painted on frame 5, and no frame of the video"),
        (cvat(track(1, keyframe(0, 0), label="horse")), "a track of the label 'horse'"),
        (cvat(track(1, keyframe(0, 0).replace('frame="0"', 'frame="x"', 1))), "A frame of track 1"),
        (
            cvat(
                track(1, keyframe(0, 0), more=' task_id="1"'), track(2, keyframe(0, 0), more=' task_id="2"')
            ),
            "several tasks",
        ),
        (
            cvat(track(1, keyframe(0, 0))).replace(
                "<name>walk", "<original_size><width>9</width><height>12</height></original_size><name>walk"
            ),
            "9×12 pixels and its frame is 16×12",
        ),
    ],
)
def test_wrong_tracks_are_explained(video: Video, save: Save, text: str, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        read_annotations(save(text, "a.xml"), video)


BOMB = '<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("doctype", [BOMB, OUTSIDE, "<!DOCTYPE annotations>"])
def test_document_types_are_refused(video: Video, save: Save, doctype: str) -> None:
    text = cvat(picture(DOG)).replace("<annotations>", f"{doctype}<annotations>")
    with pytest.raises(MaskError, match="DOCTYPE"):
        read_annotations(save(text, "a.xml"), video)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cvat(picture("")), "no object: nothing was painted"),
        (cvat(), "no object"),
        (cvat(picture(DOG))[:-20], "damaged XML"),
        ("<svg></svg>", "not of CVAT"),
        (HEAD + '<track id="0" label="dog"></track></annotations>', "no object"),
        (cvat(picture(DOG, width=17)), "17×12 pixels and its frame is 16×12"),
        (cvat(picture(DOG, name="frame_000009.PNG")), "no frame of the video is called so"),
        (cvat(picture(DOG), picture(DOG)), "two pictures of frame 1"),
        (cvat(picture(DOG.replace("dog", "horse"))), r"'horse', which its task does not know \(cat, dog\)"),
        (cvat(picture('<points label="dog" points="1,1" z_order="0"/>')), "points .dog., which is not read"),
        (cvat(picture(DOG.replace("6.00", "x"))), "'x' came, expected a number"),
        (cvat(picture('<polygon label="dog" points="1,1;2,2" z_order="0"/>')), "2 points; a polygon needs 3"),
        (cvat(picture('<polygon label="dog" points="1,1;2;3,3" z_order="0"/>')), "no points"),
        (cvat(picture('<box label="dog" xtl="1" ytl="2" z_order="0"/>')), "None came"),
        (
            cvat(picture('<mask label="dog" rle="1, 2" left="0" top="0" width="2" height="2"/>')),
            "of 3 pixels",
        ),
        (cvat(picture('<mask label="dog" rle="4" left="15" top="0" width="2" height="2"/>')), "lies outside"),
        (
            cvat(picture('<mask label="dog" rle="0, -4, 8" left="0" top="0" width="2" height="2"/>')),
            "run lengths",
        ),
        (
            cvat(
                picture(
                    '<mask label="dog" rle="10000000000" left="0" top="0" width="100000" height="100000"/>'
                )
            ),
            "lies outside",
        ),
    ],
)
def test_a_wrong_file_is_explained(video: Video, save: Save, text: str, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        read_annotations(save(text, "a.xml"), video)
