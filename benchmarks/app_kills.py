"""Kill the server of `tinct app` at random moments of runs, and look for anything confirmed that is lost.

    python benchmarks/app_kills.py --kills 50

Confirmed is what the server answered or told: a stroke, an undo, a frame of a run. The networks are
replaced by a stand-in that moves the painted rows, so that the right mask of every frame is known.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
import types
import urllib.error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app_client import GONE, Page, ServerProcess, until

H, W, FRAMES = 48, 64, 120
FRAME_S = 0.01


def moved(prompts: Mapping[int, np.ndarray], index: int) -> np.ndarray:
    """The stand-in's mask of a frame in a forward run: the nearest painted frame before it, moved down."""
    known = [i for i in prompts if i <= index]
    if not known:
        return np.zeros((H, W), np.uint8)
    return np.roll(prompts[max(known)], index - max(known), axis=0)


class StandIn:
    """As `tinct.inference.session.Session`, without a network."""

    def __init__(self, segmenter: Any, video: Any, prompts: Mapping[int, np.ndarray], **_: Any) -> None:
        self.prompts = prompts

    def run(self, start: int, stop: int, direction: str) -> Iterator[Any]:
        """Frames from `start` to before `stop`."""
        from tinct.io.masks import ObjectMasks

        for index in range(start, stop):
            time.sleep(FRAME_S)
            masks = ObjectMasks.from_label_map(moved(self.prompts, index))
            yield types.SimpleNamespace(index=index, masks=masks, confidence=0.5)


@dataclass
class Confirmed:
    """What the server has confirmed.

    Attributes:
        painted: Frame index → label map.
        in_flight: A call whose answer did not come may have been done or not: what was painted then.
        states: The painted frames after each stroke: a run that a stroke begins again uses one of them.
        runs: The painted frames of each other run, by its number.
        frames: The run of the newest mask that was told of each frame.
    """

    painted: dict[int, np.ndarray] = field(default_factory=dict)
    in_flight: dict[int, np.ndarray] | None = None
    states: list[dict[int, np.ndarray]] = field(default_factory=list)
    runs: dict[int, dict[int, np.ndarray]] = field(default_factory=dict)
    frames: dict[int, int] = field(default_factory=dict)


def write_clip(folder: Path) -> Path:
    """Frames for the project."""
    from PIL import Image

    folder.mkdir()
    for index in range(FRAMES):
        Image.fromarray(np.full((H, W, 3), index, np.uint8)).save(folder / f"{index:04d}.png")
    return folder


def painting(draws: random.Random) -> np.ndarray:
    """Some rectangle of some object."""
    labels = np.zeros((H, W), np.uint8)
    y, x = draws.randrange(H - 4), draws.randrange(W - 4)
    labels[y : y + 4, x : x + draws.randrange(1, 4)] = draws.randrange(1, 6)
    return labels


def work(page: Page, confirmed: Confirmed, draws: random.Random) -> None:
    """Paint, correct and run until the server is gone."""
    enough = 0
    try:
        while True:
            act = draws.random()
            if act < 0.6 or not confirmed.painted:
                index, labels = draws.randrange(FRAMES), painting(draws)
                confirmed.in_flight = {**confirmed.painted, index: labels}
                confirmed.states.append(confirmed.in_flight)
                page.paint(index, labels)
                confirmed.painted, confirmed.in_flight = confirmed.in_flight, None
            elif act < 0.8 and len(page.frames()) >= enough:
                enough = len(page.frames()) + draws.randrange(1, 20)  # each run comes to some frames
                # All runs go from the first painted frame on, so that each mask has a known truth.
                confirmed.runs[-1] = dict(confirmed.painted)
                run = page.call("POST", "/run", {"start": min(confirmed.painted)})["run"]["number"]
                confirmed.runs[run] = confirmed.runs.pop(-1)
            else:
                time.sleep(draws.random() * 0.2)
    except urllib.error.HTTPError:
        raise
    except GONE:
        return


def note_frames(page: Page, confirmed: Confirmed) -> None:
    """Which masks the server told of; the run of each is in the event behind it."""
    waiting: list[int] = []
    for _, kind, data in page.events:
        if kind == "frame":
            waiting.append(data["index"])
        elif kind == "run":
            for index in waiting:
                confirmed.frames[index] = data["number"]
            waiting.clear()


def losses(page: Page, left: Path, confirmed: Confirmed) -> list[str]:
    """Everything that was confirmed and is not there, in words.

    Args:
        page: On the server that was started after the kill.
        left: A copy of the project file as the kill left it.
        confirmed: What had been confirmed before.
    """
    document, lost = page.call("GET"), []
    there = {i: page.mask(i, "painted") for i in document["prompts"]}
    wanted = [confirmed.painted] + ([] if confirmed.in_flight is None else [confirmed.in_flight])
    if not any(same(there, each) for each in wanted):
        lost.append(f"painted frames {sorted(there)} are there, {sorted(confirmed.painted)} were confirmed")
    confirmed.painted, confirmed.in_flight = there, None
    newest: dict[int, int] = {}
    for (index, run), labels in masks_in(left).items():
        newest[index] = max(run, newest.get(index, 0))
        known = [confirmed.runs[run]] if run in confirmed.runs else confirmed.states
        if known and not any((labels == moved(painted, index)).all() for painted in known):
            lost.append(f"the mask of frame {index} is not what run {run} computed")
    done = {i for first, last in document["done"] for i in range(first, last + 1)}
    for index, run in confirmed.frames.items():
        if newest.get(index, 0) < run or index not in done:
            lost.append(f"frame {index} of run {run} was told of, and is not there")
    return lost


def masks_in(path: Path) -> dict[tuple[int, int], np.ndarray]:
    """The label maps in a project file, by frame and run."""
    from tinct.web.project_file import ProjectFile
    from tinct.web.prompt_png import labels_of

    if not path.exists():
        return {}
    file = ProjectFile(path)
    file.check()
    found = {(frame, run): labels_of(file.mask(frame, run), (H, W)) for frame, run, *_ in file.masks()}
    file.close()
    return found


def copied(projects: Path, folder: Path) -> Path:
    """A copy of the only project file with the log beside it, as a kill left them."""
    for path in projects.glob("*.tinct*"):
        shutil.copy(path, folder / f"left{path.name[path.name.index('.tinct') :]}")
    return folder / "left.tinct"


def same(one: Mapping[int, np.ndarray], other: Mapping[int, np.ndarray]) -> bool:
    """Whether two sets of painted frames are equal."""
    return one.keys() == other.keys() and all((one[i] == other[i]).all() for i in one)


def kill_often(folder: Path, kills: int, seed: int, most_s: float = 1.5) -> dict[str, Any]:
    """Start, work, kill, and look, again and again.

    Args:
        folder: For the clip and the project.
        kills: How often.
        seed: Of all that is random.
        most_s: The longest time from the first work to the kill.

    Returns:
        kills, strokes, frames that were confirmed, and what was lost.
    """
    draws, confirmed, lost = random.Random(seed), Confirmed(), []
    clip, projects, told = write_clip(folder / "clip"), folder / "projects", 0
    command = [sys.executable, str(Path(__file__).resolve()), "serve", str(clip), str(projects)]
    for kill in range(kills + 1):
        left = copied(projects, folder)
        with ServerProcess(command) as server:
            page = Page(server.address)
            lost += [f"after kill {kill}: {each}" for each in losses(page, left, confirmed)]
            page.listen()
            if kill == kills:
                finish(page, confirmed)
                break
            worker = threading.Thread(target=work, args=(page, confirmed, random.Random(draws.random())))
            worker.start()
            if kill % 5:  # every fifth kill comes before the worker is there, perhaps
                until(lambda: bool(page.frames()), 120)  # noqa: B023 - called at once
            time.sleep(draws.random() * most_s)
            server.kill()
            worker.join()
            time.sleep(0.05)  # what the page had received already is confirmed
            told += len(page.frames())
            note_frames(page, confirmed)
    return {"kills": kills, "painted": len(confirmed.painted), "frames_told": told, "lost": lost}


def finish(page: Page, confirmed: Confirmed) -> None:
    """The last run goes on to its end."""
    document = page.call("GET")
    if document["run"] is None:
        page.paint(0, painting(random.Random(0)))
        page.call("POST", "/run", {})
    elif document["run"]["status"] != "done":
        page.call("POST", "/resume", {})
    until(lambda: page.call("GET")["run"]["status"] == "done", 60)


def serve(video: Path, projects: Path) -> None:
    """The server, with the stand-in for its worker."""
    from tinct.web.server import ServerOptions, serve

    command = [sys.executable, str(Path(__file__).resolve()), "worker"]
    options = ServerOptions([video], projects, port=0, browser=False, command=command)
    serve(options, lambda line: print(line, flush=True))


def worker() -> None:
    """The worker."""
    session = types.ModuleType("tinct.inference.session")
    session.Session = StandIn  # type: ignore[attr-defined]
    sys.modules["tinct.inference.session"] = session
    from tinct.web import worker

    worker.main(lambda settings: None)


def main() -> None:
    """The command line."""
    if sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] == ["worker"]:
        worker()
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
        parser.add_argument("--kills", type=int, default=50)
        parser.add_argument("--seed", type=int, default=0)
        given = parser.parse_args()
        with tempfile.TemporaryDirectory() as folder:
            report = kill_often(Path(folder), given.kills, given.seed)
        print(json.dumps(report, indent=1))
        sys.exit(bool(report["lost"]))


if __name__ == "__main__":
    main()
