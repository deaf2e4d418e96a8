"""Everything that needs Ray, on one small cluster of two machines that are processes of this one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from batch_kit import make_clip, still, table
from command_kit import tinct_command
from ray_kit import behave
from still_evaluation import StillSegmentation

from tinct import zoo
from tinct.batch import ActorOptions, VideoOptions, segment_dataset
from tinct.batch import actors as actors_module
from tinct.batch.actors import outcomes_on_ray
from tinct.batch.cluster import ray_cluster, ray_module
from tinct.batch.manifest import Manifest
from tinct.batch.run import segment_batch
from tinct.errors import MaskError, OptionError, OutputError, WorkerError
from tinct.evaluation import evaluate as evaluate_module
from tinct.evaluation.dataset_split import DatasetSplit
from tinct.evaluation.evaluate import evaluate
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.zoo.build import LocatedWeights

pytest.importorskip("ray")
pytest.importorskip("pyarrow")

pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and files of its own to the collector of garbage.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]

KITS = Path(__file__).parents[1] / "kits"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines of one processor each."""
    with pytest.MonkeyPatch.context() as patched:
        # Where the machines' processes find what the tests give them.
        path = [str(KITS), str(KITS.parents[1] / "src")]
        patched.setenv("PYTHONPATH", os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")]))
        ray = ray_module()
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
        one = Cluster(initialize_head=True, head_node_args=small)
        one.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        with ray_cluster(one.address):
            yield one
        one.shutdown()
        assert not ray.is_initialized()


def test_tasks_that_cost_their_process_are_tried_elsewhere_and_then_set_aside(
    cluster: Any, tmp_path: Path
) -> None:
    tasks = [(what, str(tmp_path / what)) for what in ("a", "always", "b", "once", "error", "c")]
    found = list(outcomes_on_ray(behave, tasks, ActorOptions(retries=1), name=lambda task: task[0]))
    outcomes = dict(found)
    assert len(found) == len(outcomes) == 6
    assert [outcomes[i][1] for i in (0, 2, 3, 5)] == ["a", "b", "once", "c"]
    assert isinstance(outcomes[4], MaskError)
    assert str(outcomes[4]) == "it is broken"
    assert isinstance(outcomes[1], WorkerError)
    assert str(outcomes[1]).startswith("2 processes in a row died of always, which is set aside")


def test_closing_ends_the_actors(cluster: Any, tmp_path: Path) -> None:
    tasks = [("slow", "")] * 50
    with closing(outcomes_on_ray(behave, tasks)) as outcomes:
        pid, _ = next(outcomes)[1]
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "it did not end"
        time.sleep(0.05)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        make_clip(tmp_path / "clips", name)
    make_clip(tmp_path / "clips", "poison", value=13)
    return tmp_path / "clips"


def test_a_batch_goes_on_around_what_fails_and_resumes(cluster: Any, clips: Path, tmp_path: Path) -> None:
    (clips / "b.png").write_bytes(b"no picture")
    options = VideoOptions(str(tmp_path / "out"), segmenter=still)
    manifest, actors = Manifest.open(str(clips)), ActorOptions(retries=0)
    seen: list[int] = []
    report = segment_batch(manifest, options, actors, progress=lambda state, row: seen.append(state.done))
    assert seen == [1, 2, 3, 4]
    assert (report.progress.failed, report.progress.frames) == (2, 6)
    rows = table(tmp_path / "out")
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "complete",
        "b": "failed",
        "c": "complete",
        "poison": "set aside",
    }
    assert "b.png" in rows["b"]["error"]
    with pytest.raises(OutputError, match="Add --resume"):
        segment_batch(manifest, options, actors)
    with pytest.raises(OutputError, match=r"another batch \(other overlay\)"):
        segment_batch(manifest, replace(options, overlay=True), actors, resume=True)
    make_clip(tmp_path / "more", "b")
    (clips / "b.png").write_bytes((tmp_path / "more/b.png").read_bytes())
    (clips / "poison.png").unlink()
    (clips / "poison").rename(tmp_path / "poison")
    report = segment_batch(Manifest.open(str(clips)), options, actors, resume=True)
    assert (report.progress.done, report.progress.skipped, report.progress.failed) == (3, 2, 0)
    assert table(tmp_path / "out")["b"]["status"] == "complete"


def test_it_stands_in_the_middle_of_a_ray_data_pipeline(cluster: Any, clips: Path, tmp_path: Path) -> None:
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    names = ("a", "none", "poison")
    rows = [
        {"video": str(clips / name), "masks": [str(clips / f"{name}.png")], "city": "Ulm"} for name in names
    ]
    options = VideoOptions("", segmenter=still)
    found = segment_dataset(
        ray.data.from_items(rows), tmp_path / "out", options, ActorOptions(retries=0, most=1)
    )
    results = {row["name"]: row for row in found.take_all()}
    assert {name: row["status"] for name, row in results.items()} == {
        "a": "complete",
        "none": "failed",
        "poison": "set aside",
    }
    assert results["a"]["city"] == "Ulm"
    assert (tmp_path / "out/videos/a/masks/00002.png").is_file()


def test_an_evaluation_on_ray_gives_the_masks_of_one_process(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_module, "SequenceSegmentation", StillSegmentation)
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: LocatedWeights(Path("w"), "ab" * 32))
    for name in ("ant", "bee", "cat"):
        make_clip(tmp_path / "data/JPEGImages/480p", name, 4)
        masks = tmp_path / "data/Annotations/480p" / name
        masks.mkdir(parents=True)
        for index in range(4):
            shutil.copy(tmp_path / f"data/JPEGImages/480p/{name}.png", masks / f"{index:05}.png")
            frame = tmp_path / f"data/JPEGImages/480p/{name}/{index:05}.png"
            cv2.imwrite(str(frame.with_suffix(".jpg")), cv2.imread(str(frame)))
            frame.unlink()
        (tmp_path / f"data/JPEGImages/480p/{name}.png").unlink()
    (tmp_path / "data/ImageSets/2017").mkdir(parents=True)
    (tmp_path / "data/ImageSets/2017/val.txt").write_text("ant\nbee\ncat\n")
    data = DatasetSplit("davis-2017", tmp_path / "data", "val")
    outs = {None: tmp_path / "here", "auto": tmp_path / "auto"}
    scores = [evaluate(data, SegmenterConfig(), out, ray=ray).scores for ray, out in outs.items()]
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0].sequences == scores[1].sequences
    files = [
        {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("masks/*.png"))}
        for out in outs.values()
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 12


def test_the_command_segments_a_manifest(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_clip(tmp_path, "a")
    (tmp_path / "clips.csv").write_text("video,masks,city\na,a.png,Ulm\nnone.mp4,a.png,Ulm\n")
    words = ["batch", str(tmp_path / "clips.csv"), "--out", str(tmp_path / "out"), "--to", "coco"]
    assert tinct_command(monkeypatch, *words, "--progress-json", str(tmp_path / "p.jsonl")) == 1
    said = capsys.readouterr()
    assert "1 of 2 videos are complete" in said.out
    assert "columns that are not used: city" in said.err
    assert "tinct: error: 1 of 2 videos have no result; the table says why." in said.err
    rows = table(tmp_path / "out")
    assert "There is no" in rows["none"]["error"]
    assert rows["a"]["method"] == "feelvos"
    assert (tmp_path / "out/videos/a/exports/coco.json").is_file()
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 2


def test_machines_of_another_tinct_are_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors_module, "__version__", "0.0.1")
    with pytest.raises(OptionError, match=r"has tinct \d.*, this one 0\.0\.1; install one version"):
        list(outcomes_on_ray(behave, [("a", "")]))


def test_ctrl_c_leaves_a_table_and_says_how_to_go_on(cluster: Any, tmp_path: Path) -> None:
    for index in range(8):
        make_clip(tmp_path / "clips", f"clip{index}")
    code = (
        "import sys\n"
        "from batch_kit import slow\n"
        "from tinct.batch import VideoOptions\n"
        "from tinct.batch.cluster import ray_cluster\n"
        "from tinct.batch.manifest import Manifest\n"
        "from tinct.batch.run import segment_batch\n"
        "clips, out, address = sys.argv[1:]\n"
        "with ray_cluster(address):\n"
        "    segment_batch(Manifest.open(clips), VideoOptions(out, segmenter=slow))\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "clips"), str(tmp_path / "out"), cluster.address]
    process = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 100
    while not list(tmp_path.glob("out/videos/*/result.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert "of 8 videos are complete" in error
    assert "the same command with --resume goes on from there" in error
    done = {path.parent.name for path in tmp_path.glob("out/videos/*/result.json")}
    assert table(tmp_path / "out").keys() <= done
    assert len(done) < 8


def test_the_tasks_of_a_machine_that_goes_away_are_done_by_another(cluster: Any, tmp_path: Path) -> None:
    tasks = [("slow", "")] * 60
    outcomes = outcomes_on_ray(behave, tasks, ActorOptions(retries=2))
    with closing(outcomes):
        found = [next(outcomes) for _ in range(10)]
        node = next(iter(cluster.worker_nodes))
        cluster.remove_node(node, allow_graceful=False)
        found += outcomes
    assert sorted(index for index, _ in found) == list(range(60))
    assert not [outcome for _, outcome in found if isinstance(outcome, Exception)]


def test_impossible_shares_are_refused() -> None:
    for wrong in ({"cpus": 0.0}, {"gpus": 1.5}, {"gpus": -1.0}, {"retries": -1}, {"most": 0}):
        with pytest.raises(OptionError, match="came; give"):
            ActorOptions(**wrong)
