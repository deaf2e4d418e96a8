"""`run.json`: what ran, on what, how fast, and how far it came."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinct._version import __version__
from tinct.errors import OutputError
from tinct.inference.fingerprints import fingerprint_of
from tinct.inference.threads import thread_count
from tinct.io.atomic import atomic_write
from tinct.io.json_files import parse_json, reading
from tinct.io.regular_files import read_regular
from tinct.runs.confidences import Confidences
from tinct.runs.run_journal import JOURNAL_NAME, RunJournal


class RunFile:
    """The record of one run: `run.json`, and a journal beside it while the run goes on.

    What grows with the video goes into the journal, and into `run.json` only when the run ends, so that both
    together cost as much as the video is long.

    Args:
        path: `run.json` in the run folder.
        identity: JSON values that make two runs the same run; `frames` is how many the video has.

    Attributes:
        object_ids: Every object so far.
        frames_done: How many masks were whole when an earlier call wrote `run.json`.
        fine_tuned: What fine-tuning took for every object.
        confidences: Of the frames that were computed.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))
        self.object_ids: tuple[int, ...] = ()
        self.frames_done = 0
        self.fine_tuned: list[dict[str, Any]] = []
        self.confidences = Confidences()
        self._content: dict[str, Any] = {}
        self._journal = RunJournal(path.with_name(JOURNAL_NAME), self.fingerprint)
        self._pending: list[dict[str, Any]] = []
        self._written_bytes = self._journalled_bytes = 0

    @property
    def fingerprint(self) -> str:
        """One hash of the identity."""
        return fingerprint_of(self.identity)

    def compare(self, resume: bool) -> None:
        """Take up what the folder's own `run.json` says, if it is this run and we are to go on with it.

        Raises:
            OutputError: It is another run's, or this run's while `resume` is off, or unreadable.
        """
        if not self.path.exists():
            return
        previous = self._read()
        theirs = previous.get("run", {})
        keys = [key for key in sorted({*self.identity, *theirs}) if self.identity.get(key) != theirs.get(key)]
        if keys:
            differences = "; ".join(
                f"{key}: {_short(theirs.get(key))} there, {_short(self.identity.get(key))} now"
                for key in keys
            )
            raise OutputError(f"{self.path.parent} holds another run ({differences}). Choose another folder.")
        if not resume:
            raise OutputError(
                f"{self.path.parent} already holds this run ({previous.get('status')}). Add --resume to "
                "go on with it, or choose another folder."
            )
        self._content = previous
        with reading(self.path, "a run's record", "Choose another folder.", OutputError):
            self.object_ids = tuple(int(i) for i in previous.get("object_ids", ()))
            self.frames_done = int(previous.get("frames_done", 0))
            entries = previous.get("fine_tuned", ())
            self.fine_tuned = [{**entry, "frame": int(entry["frame"])} for entry in entries]
        self._take_journal(range(int(self.identity["frames"])))

    def _take_journal(self, frames: Collection[int]) -> None:
        """Take up what a call that was killed left beside `run.json`."""
        entries = self._journal.read()
        self.confidences.take_record(self._content.get("confidence"), frames)
        self.confidences.take_entries(entries, frames)
        found = [tuned for entry in entries if isinstance(tuned := entry.get("fine_tuned"), dict)]
        found = [tuned for tuned in found if isinstance(tuned.get("frame"), int)]
        self.fine_tuned += [entry for entry in found if entry not in self.fine_tuned]

    def _read(self) -> dict[str, Any]:
        fix = "So nobody knows which run this is. Choose another folder."
        with reading(self.path, "a run's record", fix, OutputError):
            content = parse_json(read_regular(self.path))
            if not isinstance(content, dict) or not isinstance(content.get("run", {}), dict):
                raise ValueError("it holds no JSON object, or an entry `run` that is none")
        return content

    def begin(self, **values: Any) -> None:
        """Change some entries for a call that goes on from here, and begin its journal.

        Raises:
            OutputError: A file cannot be written.
        """
        # The journal first: it has what `run.json` will have at the end only.
        tuned = [{"fine_tuned": entry} for entry in self.fine_tuned]
        self._journal.begin([*tuned, *self.confidences.entries()])
        self.write(**values)

    def add(self, entry: dict[str, Any]) -> None:
        """Keep an entry for the journal until the next `save`."""
        self._pending.append(entry)

    def save(self, frames_done: int) -> None:
        """Append what was added to the journal; `run.json` follows once that has grown by its length.

        Raises:
            OutputError: A file cannot be written; what was added is kept for the next time.
        """
        if not self._pending:
            return
        self._journalled_bytes += self._journal.append(self._pending)
        self._pending.clear()
        if self._journalled_bytes >= self._written_bytes:
            self.write(frames_done=frames_done)

    def end(self, prompts: Collection[int], **values: Any) -> None:
        """Write all that is known into `run.json`, which needs no journal then.

        Args:
            prompts: The annotated frames.
            values: Entries to change.

        Raises:
            OutputError: It cannot be written; the journal stays.
        """
        if self.fine_tuned:
            values["fine_tuned"] = self.fine_tuned
        self.write(confidence=self.confidences.record(int(self.identity["frames"]), prompts), **values)
        self._journal.remove()

    def write(self, **values: Any) -> None:
        """Change some entries of `run.json`, and write it, atomically.

        Raises:
            OutputError: It cannot be written.
        """
        self._content |= {**values, "run": self.identity, "object_ids": list(self.object_ids)}
        text = _readable(self._content) + "\n"
        with atomic_write(self.path) as part:
            part.write_text(text, encoding="utf-8")
        self._written_bytes, self._journalled_bytes = len(text), 0


RUNTIMES = ("torch", "onnxruntime")
"""What networks run in; a run says the version of those that it loaded."""


def environment(device: str) -> dict[str, Any]:
    """Versions, processor and threads; none makes a run another run."""
    return {
        "device": device,
        "versions": {
            "tinct": __version__,
            **{name: sys.modules[name].__version__ for name in RUNTIMES if name in sys.modules},
            "python": platform.python_version(),
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": thread_count(),
    }


def peak_memory() -> dict[str, float]:
    """The process's peak resident memory in MB, and that of CUDA if it was used; {} if unknown."""
    peak: dict[str, float] = {}
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        peak["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return peak


def progress_entries(frames_done: int, seconds: Sequence[float]) -> dict[str, Any]:
    """How far a run came and what it took: seconds are those of every frame that was computed."""
    if not seconds:
        return {"frames_done": frames_done}
    return {
        "frames_done": frames_done,
        "seconds_per_frame": {
            "mean": round(float(np.mean(seconds)), 5),
            "median": round(float(np.median(seconds)), 5),
            "frames": len(seconds),
            "values": [round(each, 5) for each in seconds],
        },
        **peak_memory(),
    }


def costs(out: Path, names: Collection[str]) -> dict[str, Any]:
    """What the runs of these sequences cost together, by their own records.

    Returns:
        device, threads, tinct, torch or onnxruntime, python, platform (a list where they differ between
        runs), frames, and, as far as it was measured, seconds_per_frame, peak_memory_mb, and of fine-tuning
        tuning_seconds and tuning_steps (medians over objects) and tuning_diverged (how many did).

    Raises:
        OutputError: A record cannot be read.
    """
    records = [read_record(out / name / "run.json") for name in names]
    fix = "Remove the run whose run.json is broken, and run again."
    with reading(out, "a folder of runs", fix, OutputError):
        return _costs(records)


def _costs(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    versions = [record["versions"] for record in records]
    found = {key: _common(record[key] for record in records) for key in ("device", "threads", "platform")}
    named = [key for key in ("tinct", *RUNTIMES, "python") if any(key in version for version in versions)]
    found |= {key: _common(version.get(key, "") for version in versions) for key in named}
    found["frames"] = sum(record["run"]["frames"] for record in records)
    seconds = [s for record in records for s in record.get("seconds_per_frame", {}).get("values", ())]
    if seconds:
        found["seconds_per_frame"] = round(float(np.median(seconds)), 5)
    tuned = [entry for record in records for entry in record.get("fine_tuned", ())]
    if tuned:
        found["tuning_seconds"] = round(float(np.median([entry["seconds"] for entry in tuned])), 2)
        found["tuning_steps"] = float(np.median([entry["steps"] for entry in tuned]))
        found["tuning_diverged"] = sum(entry["diverged"] for entry in tuned)
    for key in ("peak_memory_mb", "peak_gpu_memory_mb"):
        peaks = [record[key] for record in records if key in record]
        if peaks:
            found[key] = max(peaks)
    return found


def read_record(path: Path) -> dict[str, Any]:
    """The content of a `run.json`; OutputError if it cannot be read."""
    with reading(path, "a run's record", "Remove its folder and run again.", OutputError):
        return dict(parse_json(read_regular(path)))


def _common(values: Iterable[Any]) -> Any:
    """The value that all have; the list of them where they differ."""
    different = sorted(set(values))
    return different[0] if len(different) == 1 else different


def _readable(content: Mapping[str, Any]) -> str:
    """JSON with an entry per line, a list of numbers (or nulls) on one."""
    text = json.dumps(content, indent=2)
    # A string never holds a line break as such, so that nothing but lists can match.
    return re.sub(r"\[\n[-+.\deEnul,\s]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
