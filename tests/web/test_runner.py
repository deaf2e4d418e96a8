from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fake_worker import SLOW
from web_kit import FAKE_WORKER, FRAMES, painting, until, write_frames

from tinct.errors import WorkerError
from tinct.io.video import Video
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.events import Events
from tinct.web.project import Project
from tinct.web.project_file import new_project_file
from tinct.web.project_info import ProjectInfo
from tinct.web.run_state import INTERRUPTED
from tinct.web.runner import Runner
from tinct.web.worker_process import MAX_FAILURES, PROCESS_ENDED, WorkerProcess


@pytest.fixture
def project(tmp_path: Path) -> Project:
    clip = write_frames(tmp_path / "clip")
    with new_project_file(tmp_path / "p.tinct") as file:
        info = ProjectInfo.of(Video.open(clip), "clip", str(clip), embedded=False)
        file.set_meta("project", asdict(info))
    return Project(tmp_path / "p.tinct", tmp_path / "scratch", "p")


def test_a_run_that_the_servers_end_cut_short_rests_and_goes_on(project: Project) -> None:
    project.annotate({0: painting(SLOW)})
    first = Runner(FAKE_WORKER, 1, Events())
    first.begin(project, 0, "forward", SegmenterConfig())
    until(lambda: project.run is not None and project.run.done >= 2)
    first.close()
    until(lambda: first.worker._process is None)
    project.close()
    again = Project(project.file.path, project.scratch, "p")
    assert again.run is not None
    assert (again.run.status, again.run.message) == ("paused", INTERRUPTED)
    done = again.run.done
    assert 2 <= done < FRAMES
    finished: list[int] = []
    second = Runner(FAKE_WORKER, 1, Events(), lambda project, index: finished.append(index))
    second.resume(again)
    until(lambda: again.run is not None and again.run.status == "done")
    second.close()
    until(lambda: second.worker._process is None)
    assert finished == list(range(done, FRAMES))
    assert again.run.done == again.run.total == FRAMES


def test_a_worker_that_cannot_start_is_an_error_that_names_it(tmp_path: Path) -> None:
    messages: list[dict[str, Any]] = []
    worker = WorkerProcess([sys.executable, "-c", "raise SystemExit(3)"], 1, messages.append)
    worker.start()
    until(lambda: len(messages) == MAX_FAILURES)
    until(lambda: worker._process is None)
    assert all(each == {"event": PROCESS_ENDED, "code": 3} for each in messages)
    with pytest.raises(WorkerError, match="cannot be started"):
        WorkerProcess([str(tmp_path / "nothing")], 1, messages.append).start()
