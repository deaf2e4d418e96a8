"""axe finds nothing to mend in any state of the page, in dark and in light.

axe comes from npm and is not in the repository: TINCT_AXE names its axe.min.js; without it the tests are
skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

AXE = Path(os.environ.get("TINCT_AXE", ""))
VIOLATIONS = """async (rules) => {
  const options = { resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
  const { violations } = await axe.run(document, options);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
    `${id} at ${target}: ${failureSummary}`));
}"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not AXE.is_file(), reason="TINCT_AXE does not name the axe.min.js of axe-core"),
]


@pytest.fixture
def findings(uploaded: Any) -> Callable[[str], list[str]]:
    """`findings(state)`: what axe finds on the page as it is now, in both themes."""
    page = uploaded.page
    page.evaluate(AXE.read_text("utf-8"))

    def find(state: str) -> list[str]:
        found = []
        # Roles and names are the same in both: the second time colours alone are looked at.
        for scheme, rules in (("light", None), ("dark", ["color-contrast"])):
            page.emulate_media(color_scheme=scheme)
            uploaded.until(f"document.documentElement.dataset.shown === '{scheme}'")
            # Colours that fade would be judged on their way.
            uploaded.until(
                "document.getAnimations().every((animation) => animation.playState === 'finished')"
            )
            found += [f"{state}, {scheme}: {each}" for each in page.evaluate(VIOLATIONS, rules)]
        return found

    return find


def test_axe_finds_nothing_while_one_works(
    uploaded: Any, findings: Callable[[str], list[str]], tmp_path: Path
) -> None:
    page = uploaded.page
    found = findings("nothing painted")
    uploaded.stroke([(60, 60), (90, 60)])
    page.keyboard.press("n")
    page.wait_for_selector("[data-object='2']")
    page.keyboard.press("c")
    page.mouse.click(*uploaded.on_screen(*uploaded.clip.centre(0, 2)))
    page.wait_for_selector("#pending-apply:enabled")
    found += findings("clicked")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    uploaded.run()
    page.wait_for_selector("#verdict:not([hidden])")
    found += findings("after a run")
    page.keyboard.press("w")
    page.wait_for_selector("#wipe:not([hidden])")
    found += findings("compared")
    page.keyboard.press("w")
    page.click("#finishing summary")
    found += findings("finishing")
    uploaded.keep_picture(tmp_path / "finishing.png")
    assert not found


def test_axe_finds_nothing_in_dialogs_and_at_the_start(
    uploaded: Any, findings: Callable[[str], list[str]]
) -> None:
    page = uploaded.page
    page.keyboard.press("r")  # nothing is painted: a notice
    page.wait_for_selector(".notice.error")
    found = findings("notice")
    for button in ("help", "export", "import", "save-copy"):
        page.click(f"#{button}")
        page.wait_for_selector("dialog[open]")
        found += findings(button)
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
    page.click("#home")
    page.wait_for_selector("#projects .project")
    assert not found + findings("start")
