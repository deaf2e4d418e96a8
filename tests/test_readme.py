"""What README, the quickstart and the corrections page show is run as it stands, on a small clip."""

from __future__ import annotations

import dataclasses
import re
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image as PillowImage
from typer.testing import CliRunner

from tinct.cli import app
from tinct.evaluation.ablation_rows import ABLATIONS
from tinct.evaluation.published import published_results
from tinct.io.mask_files import write_mask
from tinct.io.video import Video
from tinct.io.video_writer import VideoWriter
from tinct.zoo import METHODS, preset_options

ROOT = Path(__file__).parents[1]
RUN_PAGES = ("README.md", "docs/quickstart.md", "docs/corrections.md")
ALL_PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
)
SIZE = (48, 64)
FRAMES = 8


def blocks(page: str, language: str) -> list[str]:
    """The fenced code blocks of one language on a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def tinct_commands(page: str) -> list[str]:
    """The `tinct ...` command lines of a page's shell blocks, continuation lines joined."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("tinct ")]


def painted(shift: int) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[8:24, 6 + shift : 26 + shift] = 1
    labels[30:44, 36:56] = 2
    return labels


def write_davis(root: Path, colours: np.ndarray) -> None:
    """The frames and lists of a dataset in the layout of DAVIS."""
    (root / "JPEGImages" / "480p" / "cow").mkdir(parents=True)
    for index in range(FRAMES):
        path = root / "JPEGImages" / "480p" / "cow" / f"{index:05d}.jpg"
        PillowImage.fromarray(colours[painted(index)]).save(path)
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "val.txt").write_text("cow\n")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the files that the pages name lie."""
    colours = np.array([(70, 90, 60), (220, 60, 30), (40, 60, 220)], np.uint8)
    with VideoWriter(tmp_path / "clip.mp4", Fraction(25), SIZE) as writer:
        for index in range(FRAMES):
            writer.write(colours[painted(index)])
    write_mask(tmp_path / "first.png", painted(0))
    write_mask(tmp_path / "fixed.png", painted(6))
    write_davis(tmp_path / "DAVIS", colours)
    for folder in (tmp_path / "masks", tmp_path / "DAVIS" / "Annotations" / "480p"):
        (folder / "cow").mkdir(parents=True)
        for index in range(FRAMES):
            write_mask(folder / "cow" / f"{index:05d}.png", painted(index))
    monkeypatch.chdir(tmp_path)
    return tmp_path


SNIPPETS = [
    pytest.param(code, id=f"{page}-{number}")
    for page in RUN_PAGES
    for number, code in enumerate(blocks(page, "python"))
]


@pytest.mark.parametrize("code", SNIPPETS)
@pytest.mark.usefixtures("workspace")
def test_the_python_snippets_run(code: str) -> None:
    exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})


def test_the_readmes_snippet_writes_every_mask(workspace: Path) -> None:
    exec(compile(blocks("README.md", "python")[0], "snippet", "exec"), {"__name__": "snippet"})
    assert all((workspace / f"{name}.png").is_file() for name in Video.open("clip.mp4").names)


@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_command_lines_run(page: str, workspace: Path) -> None:
    commands = [
        command for command in tinct_commands(page) if not command.startswith(("tinct train", "tinct batch"))
    ]
    assert any(command.startswith("tinct segment") for command in commands)
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert len(list((workspace / "run" / "masks").glob("*.png"))) == FRAMES
    assert (workspace / "run" / "overlay.mp4").is_file()
    assert (workspace / "run" / "run.json").is_file()


COMMANDS = [
    pytest.param(command, id=f"{page}: {command}") for page in ALL_PAGES for command in tinct_commands(page)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_line_in_the_docs_is_understood(command: str) -> None:
    verb, *arguments = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    subcommand = group.get_command(group.make_context("tinct", [verb]), verb)  # type: ignore[attr-defined]
    assert subcommand is not None, f"there is no verb {verb!r}"
    subcommand.make_context(verb, arguments)


@pytest.mark.parametrize("page", ALL_PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = re.sub(
        r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    targets = re.findall(r"\]\(([^)#]+)", text)
    local = [target for target in targets if not target.startswith(("http:", "https:", "mailto:"))]
    missing = [target for target in local if not (ROOT / page).parent.joinpath(target).exists()]
    assert not missing


def make_targets() -> list[str]:
    """The targets of every `make ...` on the pages, at a line's start or in backquotes."""
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in ALL_PAGES]
    return sorted(
        {name for text in texts for name in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)}
    )


@pytest.mark.parametrize("target", make_targets())
def test_make_targets_that_the_pages_name_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_page_names_every_option(method: str) -> None:
    page = (ROOT / f"docs/methods/{method}.md").read_text(encoding="utf-8")
    options = type(preset_options(method, None, "default"))
    assert [field.name for field in dataclasses.fields(options) if f"`{field.name}`" not in page] == []


@pytest.mark.parametrize("method", ABLATIONS)
def test_a_methods_page_has_the_papers_ablation(method: str) -> None:
    page = (ROOT / f"docs/methods/{method}.md").read_text(encoding="utf-8")
    table = ABLATIONS[method]
    published = published_results(table.dataset, table.split)
    for row in table.rows:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {row.title} | `{row.name}` |")]
        if row.published is not None:
            paper = row.paper or table.paper
            (result,) = [r for r in published if (r.method, r.variant) == (paper, row.published)]
            doubtful = table.measure == "J" and result.measures["J"].doubtful
            mean = result.j_and_f if table.measure == "G" else result.measures["J"].mean
            assert f"| {mean:.3f}{' (?)' * doubtful} |" in line
        elif row.direction:
            assert f"| {'up' if row.direction > 0 else 'down'} |" in line


def test_the_index_and_the_navigation_list_every_page() -> None:
    pages = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")} - {"index.md"}
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w/-]+\.md)\)", index)) == pages
    assert set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE)) == pages
