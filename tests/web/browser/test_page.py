"""The page apart from the story: colours, zoom, two tabs, what it says when something is wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

NOTE_SHOWN_FRAMES = """() => {
  window.seen = [];
  const picture = document.getElementById("picture");
  const note = () => seen.push(Number(picture.dataset.shown));
  new MutationObserver(note).observe(picture, { attributeFilter: ["data-shown"] });
}"""
PLACES = """() => ["picture", "run", "timeline", "cancel"].map(
  (id) => document.getElementById(id).getBoundingClientRect().toJSON(),
)"""
PANEL_FITS = """() => {
  const panel = document.querySelector(".panel");
  return panel.scrollHeight <= panel.clientHeight;
}"""
CHOSEN_IN_SIGHT = """() => {
  const list = document.getElementById("objects").getBoundingClientRect();
  const row = document.querySelector("[data-object][aria-current=true]").getBoundingClientRect();
  return list.top <= row.top && row.bottom <= list.bottom;
}"""
NAMELESS = """() => [...document.querySelectorAll("button, input, select, [role=slider]")]
  .filter((each) => each.checkVisibility() && !each.getAttribute("aria-label") && !each.title)
  .filter((each) => !each.textContent.trim() && !each.labels?.length)
  .map((each) => each.outerHTML)"""


@pytest.fixture
def studio(uploaded: Any) -> Any:
    """An uploaded copy of the clip."""
    return uploaded


def test_dark_light_and_the_switch(studio: Any, tmp_path: Path) -> None:
    def brightness() -> float:
        return float(studio.picture()[700, 5:30].mean())

    assert brightness() < 60
    studio.keep_picture(tmp_path / "dark.png")
    studio.page.emulate_media(color_scheme="light")
    studio.becomes(lambda: brightness() > 200)
    studio.keep_picture(tmp_path / "light.png")
    studio.page.click("#theme")  # from the system's to the other
    studio.becomes(lambda: brightness() < 60)
    studio.page.reload()
    studio.page.wait_for_selector("#picture[data-shown]")
    assert brightness() < 60  # it remembers


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_words_stand_out_from_their_ground(blank: Any, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 for text."""
    blank.emulate_media(color_scheme=scheme)
    # Loaded again: a page that is open changes its colours some time after it was asked to.
    blank.reload()
    pairs = [
        ("--text", "--surface"),
        ("--quiet", "--surface"),
        ("--quiet", "--ground"),
        ("--text", "--raised"),
    ]
    pairs += [("--accent", "--surface"), ("--on-accent", "--accent"), ("--danger", "--surface")]
    assert (luminance(blank, "--surface") > 0.5) == (scheme == "light")
    for ink, ground in pairs:
        brighter, darker = sorted((luminance(blank, ink), luminance(blank, ground)), reverse=True)
        assert (brighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


def luminance(page: Any, token: str) -> float:
    """WCAG's relative luminance of a colour token."""
    text = page.evaluate("(name) => getComputedStyle(document.documentElement).getPropertyValue(name)", token)
    channels = np.array([int(text.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_play_scrub_and_keys_move_through_time(studio: Any) -> None:
    studio.page.evaluate(NOTE_SHOWN_FRAMES)
    studio.page.keyboard.press("Space")
    studio.page.wait_for_selector("#picture[data-shown='7']")
    assert set(studio.page.evaluate("seen")) >= set(range(1, 8))  # no frame is left out
    studio.page.wait_for_selector("#play[aria-label=Play]")  # it ended by itself
    strip = studio.page.locator("#timeline").bounding_box()
    studio.page.mouse.move(strip["x"] + 2, strip["y"] + 30)
    studio.page.mouse.down()
    studio.page.wait_for_selector("#picture[data-shown='0']")
    studio.page.mouse.move(strip["x"] + strip["width"] / 2 + 4, strip["y"] + 30)
    studio.page.mouse.up()
    studio.page.wait_for_selector("#picture[data-shown='4']")
    studio.page.keyboard.press("ArrowLeft")
    studio.page.wait_for_selector("#picture[data-shown='3']")
    # The frame's own colours are what is shown.
    x, y = studio.clip.centre(3, 2)
    assert np.abs(studio.colour_at(x, y) - [20, 80, 205]).max() < 30


def test_zoomed_in_a_pixel_is_a_square_of_one_colour(studio: Any) -> None:
    for _ in range(12):
        studio.page.keyboard.press("+")
    studio.page.keyboard.press("h")
    studio.page.wait_for_timeout(300)
    scale = int(studio.page.locator("#zoom-fit").inner_text().split()[0]) / 100
    assert scale > 16
    box = studio.page.locator("#picture").bounding_box()
    stage = studio.picture()[
        int(box["y"]) + 20 : int(box["y"]) + 400, int(box["x"]) + 20 : int(box["x"]) + 800
    ]
    steps = np.abs(np.diff(stage, axis=1)).sum(axis=2) > 0
    columns = np.flatnonzero(steps.any(axis=0))  # where any row changes: only at the edges of pixels
    assert len(columns) > 10
    assert np.diff(columns).min() >= int(scale) - 1
    studio.page.keyboard.press("0")
    studio.becomes(lambda: studio.page.locator("#zoom-fit").inner_text() != f"{scale:.0%}")


def test_a_stroke_that_cannot_be_saved_says_so_and_is_saved_later(studio: Any) -> None:
    studio.page.keyboard.press("n")
    studio.page.wait_for_selector("[data-object='1']")
    studio.page.route("**/prompts/**", lambda route: route.abort())
    x, y = studio.on_screen(100, 90)
    studio.page.mouse.move(x, y)
    studio.page.mouse.down()
    studio.page.mouse.move(x + 60, y)
    studio.page.mouse.up()
    studio.page.wait_for_selector("#saving[data-state=failed]")
    assert "does not answer" in studio.notice()
    assert studio.mask(0) is None
    painted = studio.colour_at(100, 90)
    studio.page.unroute("**/prompts/**")
    studio.page.get_by_role("button", name="Save again").click()
    studio.saved()
    assert studio.mask(0)[90, 100] == 1
    assert np.abs(studio.colour_at(100, 90) - painted).max() < 12


def test_a_stroke_on_a_frame_whose_mask_does_not_come_is_dropped(studio: Any) -> None:
    """It must not begin with an empty frame, and take away what is painted there."""
    studio.stroke([(60, 90), (120, 90)])
    before = studio.mask(0)
    studio.page.route("**/masks/**", lambda route: route.abort())
    studio.page.reload()
    studio.page.wait_for_selector("#picture[data-shown]")
    x, y = studio.on_screen(200, 90)
    studio.page.mouse.move(x, y)
    studio.page.mouse.down()
    studio.page.mouse.up()
    studio.page.get_by_text("so the stroke was dropped").wait_for()
    studio.page.unroute("**/masks/**")
    assert (studio.mask(0) == before).all()
    studio.stroke([(200, 90), (220, 90)])
    assert studio.mask(0)[90, 210] == 1
    assert studio.mask(0)[90, 80] == 1


def test_a_page_outlives_its_server(page: Any, serve: Any) -> None:
    """What was painted while the server was gone is saved when it is back, without a hand."""
    drag = [(300, 300), (380, 330)]
    with serve(0) as (address, process):
        page.goto(address)  # the only video is opened
        page.wait_for_selector("#picture[data-shown]")
        paint(page, drag)
        page.wait_for_selector("#saving[data-state=saved]")
        process.kill()
        page.get_by_text("connection to the server is lost").wait_for()
        paint(page, [(600, 300), (680, 330)])
        page.wait_for_selector("#saving[data-state=failed]")
        icons = page.evaluate(
            "[...document.querySelectorAll('.notice use')].map((use) => use.getBBox().width)"
        )
        assert len(icons) == 4
        assert min(icons) > 5  # a notice has its pictures though nothing can be loaded
    with serve(int(address.rstrip("/").rsplit(":", 1)[1])):
        page.wait_for_selector("#saving[data-state=saved]")
        project = page.request.get(f"{address}api/projects").json()[0]["id"]
        body = page.request.get(f"{address}api/projects/{project}/masks/0.png").body()
        labels = np.array(Image.open(io.BytesIO(body)))
        columns = np.flatnonzero((labels == 1).any(axis=0))
        assert np.diff(columns).max() > 20  # both strokes, apart from each other
        assert page.locator(".notice").count() == 0


def paint(page: Any, points: list[tuple[int, int]]) -> None:
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def test_a_run_without_a_painted_object_is_explained(studio: Any) -> None:
    studio.page.keyboard.press("r")
    studio.page.wait_for_selector(".notice.error")
    assert "paint" in studio.notice().lower()
    assert studio.page.locator("#run").is_enabled()
    assert studio.document()["done"] == []


def test_a_box_becomes_a_mask_that_is_painted_when_accepted(stand_in_studio: Any) -> None:
    studio = stand_in_studio
    truth = studio.clip.labels[0] == 1
    studio.page.keyboard.press("x")
    for down, point in ((True, (36, 26)), (False, (104, 94))):
        studio.page.mouse.move(*studio.on_screen(*point), steps=3)
        (studio.page.mouse.down if down else studio.page.mouse.up)()
    studio.page.wait_for_selector("#pending-apply:enabled")
    assert studio.mask(0) is None  # nothing is painted yet
    studio.page.keyboard.press("Enter")
    studio.until("document.querySelector('#withdraw').style.visibility === 'visible'")
    studio.saved()
    found = studio.mask(0) == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.85
    studio.page.click("#withdraw")
    studio.until("document.querySelector('#withdraw').style.visibility === 'hidden'")
    assert studio.mask(0) is None


def test_clicks_are_answered_by_an_outline_and_correct_what_the_frame_has(
    stand_in_studio: Any, tmp_path: Path
) -> None:
    studio, page = stand_in_studio, stand_in_studio.page
    truth = studio.clip.labels[0] == 1
    page.keyboard.press("c")
    click(studio, 70, 60)
    assert (studio.colour_at(70, 60) != studio.colour_at(300, 170)).any()
    studio.keep_picture(tmp_path / "clicked.png")
    page.keyboard.press("Escape")
    assert page.locator("#pending").is_hidden()
    assert studio.mask(0) is None
    click(studio, 70, 60)
    with page.expect_response(lambda answer: answer.url.endswith("/prompts/0")):
        page.keyboard.press("Enter")
    found = studio.mask(0) == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.85

    page.keyboard.press("b")
    studio.stroke([(150, 60), (165, 60)])  # too much
    assert studio.mask(0)[60, 157] == 1
    page.keyboard.press("c")
    click(studio, 157, 60, button="right")
    studio.keep_picture(tmp_path / "taken_away.png")
    with page.expect_response(lambda answer: answer.url.endswith("/prompts/0")):
        page.keyboard.press("Enter")
    corrected = studio.mask(0) == 1
    assert not corrected[60, 157]
    assert corrected[60, 70]
    assert (corrected & truth).sum() / (corrected | truth).sum() > 0.85


def click(studio: Any, x: float, y: float, button: str = "left") -> None:
    with studio.page.expect_response(lambda answer: answer.url.endswith("/outline"), timeout=60_000):
        studio.page.mouse.click(*studio.on_screen(x, y), button=button)
    studio.page.wait_for_selector("#pending-apply:enabled")


def test_polygons_of_another_program_become_a_painted_frame(studio: Any, tmp_path: Path) -> None:
    corners = [[220, 100], [271, 100], [271, 151], [220, 151]]
    shape = {"label": "crate", "points": corners, "shape_type": "polygon", "group_id": None, "flags": {}}
    about = {"version": "5.0", "flags": {}, "imagePath": "000.png", "imageData": None}
    file = tmp_path / "000.json"
    file.write_text(json.dumps({**about, "imageHeight": 180, "imageWidth": 320, "shapes": [shape]}))
    studio.page.click("#import")
    studio.page.set_input_files("#import-file", file)
    studio.page.click("#import-go")
    studio.page.wait_for_selector("dialog", state="detached")
    labels = studio.mask(0)
    crate = studio.clip.labels[0] == 2
    assert ((labels > 0) & crate).sum() / ((labels > 0) | crate).sum() > 0.95
    assert studio.page.locator("#objects input[type=text]").input_value() == "crate"
    colour = studio.document()["objects"][0]["colour"]
    shown = studio.colour_at(245, 125)
    tint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    assert np.abs(shown - (0.45 * tint + 0.55 * np.array([20, 80, 205]))).max() < 25


def test_a_mask_of_another_size_is_explained_above_the_dialog(studio: Any, tmp_path: Path) -> None:
    file = tmp_path / "small.png"
    Image.fromarray(np.ones((9, 16), np.uint8)).save(file)
    studio.page.click("#import")
    studio.page.set_input_files("#import-file", file)
    studio.page.click("#import-go")
    studio.page.wait_for_selector("dialog .notice.error")  # where it can be seen and closed
    assert "16" in studio.notice()
    assert "320" in studio.notice()
    studio.page.locator(".notice.error button.icon").click()
    studio.page.keyboard.press("Escape")
    assert studio.mask(0) is None


def test_a_second_tab_watches_until_it_takes_over(studio: Any) -> None:
    other = type(studio)(studio.page.context.new_page(), studio.address, studio.video).open()
    other.page.wait_for_selector("#watching:not([hidden])")
    other.page.mouse.move(*other.on_screen(100, 90))
    other.page.mouse.down()
    other.page.mouse.up()
    assert "only watches" in other.notice()
    assert other.mask(0) is None
    other.page.click("#take-over")
    other.page.wait_for_selector("#watching", state="hidden")
    studio.page.wait_for_selector("#watching:not([hidden])")
    other.stroke([(100, 90), (140, 90)])
    assert other.mask(0)[90, 120] == 1
    studio.until("document.querySelectorAll('#objects .object').length === 1")  # it sees it come
    other.page.close()


def test_a_broken_upload_is_explained(page: Any, server: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    page.goto(f"{server}#/")
    page.wait_for_selector("body[data-screen=start]")
    page.set_input_files("#file", broken)
    page.wait_for_selector(".notice.error")
    assert "broken.mp4" in page.locator(".notice.error p").inner_text()
    assert page.evaluate("document.body.dataset.screen") == "start"


def test_nothing_jumps_and_all_fits_at_1280_by_720(studio: Any) -> None:
    """The stage and the panel's buttons stay in their places while a run goes on, and none is cut off."""
    before = studio.page.evaluate(PLACES)
    assert all(box["top"] >= 0 and box["bottom"] <= 720 and box["right"] <= 1280 for box in before)
    assert studio.page.evaluate(PANEL_FITS)
    studio.stroke([(60, 60), (90, 60)])
    studio.page.keyboard.press("r")
    studio.page.wait_for_selector("#run-progress[data-idle=false]")
    assert studio.page.evaluate(PLACES) == before
    studio.page.click("#cancel")  # at once: even while it only begins
    studio.page.wait_for_selector("#run-progress[data-status=cancelled], #run-progress[data-status=done]")
    assert studio.page.evaluate(PLACES) == before


def test_the_chosen_object_is_in_sight(studio: Any) -> None:
    for object_id in range(1, 6):
        studio.page.keyboard.press("n")
        studio.page.wait_for_selector(f"[data-object='{object_id}'][aria-current=true]")
    assert studio.page.evaluate(CHOSEN_IN_SIGHT)
    studio.page.keyboard.press("1")
    studio.page.wait_for_selector("[data-object='1'][aria-current=true]")
    assert studio.page.evaluate(CHOSEN_IN_SIGHT)


def test_every_control_has_a_name(studio: Any) -> None:
    studio.page.keyboard.press("n")
    studio.page.wait_for_selector("[data-object='1']")
    assert studio.page.evaluate(NAMELESS) == []
    slider = studio.page.locator("#timeline")
    studio.go_to(3)
    assert slider.get_attribute("aria-valuenow") == "3"
    assert "frame 3" in slider.get_attribute("aria-valuetext")
