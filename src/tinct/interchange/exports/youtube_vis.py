"""YouTube-VIS JSON: one annotation per object, with a list over the frames.

`segmentations`, `bboxes` and `areas` hold an entry for every frame of the exported range, null where
the object is absent; the layout is that of the data set's `train.json`. Objects of one name are of
one category. Exact.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tinct.interchange.exports.categories import categories_of, file_names
from tinct.interchange.exports.formats import ExportJob
from tinct.interchange.exports.run_lengths import RunLengths, coco_module, run_lengths

_PARTS = ("segmentations", "bboxes", "areas")


def write_youtube_vis(job: ExportJob) -> None:
    """Write the JSON. Its lists go by object but frames come by time, so lists are collected in files."""
    coco_module()
    with tempfile.TemporaryDirectory(prefix=f".{job.out.stem[:100]}.", dir=job.out.parent) as lists:
        for index in job.indices():
            found = run_lengths(job.source.read(index))
            for object_id in job.source.object_ids:
                _append(Path(lists), object_id, found.get(object_id))
        with job.out.open("w", encoding="utf-8") as file:
            _write(file, job, Path(lists))


def _append(lists: Path, object_id: int, found: RunLengths | None) -> None:
    """Append one frame to the lists of an object; files are closed again, as there may be 254 objects."""
    entries = (found.segmentation, found.bbox, found.area) if found else (None, None, None)
    for part, entry in zip(_PARTS, entries, strict=True):
        with (lists / f"{object_id}.{part}").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _write(file: TextIO, job: ExportJob, lists: Path) -> None:
    H, W = job.source.size
    length = job.last + 1 - job.first
    names = file_names(job.source)[job.first : job.last + 1]
    video: dict[str, Any] = {
        "id": 1,
        "width": W,
        "height": H,
        "length": length,
        "first": job.first,
        "last": job.last,
    }
    video["file_names"] = [f"{job.source.title}/{name}" for name in names]
    category_of, categories = categories_of(job.source)
    info: dict[str, Any] = {"description": job.source.title}
    if job.rate is not None:
        info["frame_rate"] = str(job.rate)
    file.write(f'{{"info": {json.dumps(info, ensure_ascii=False)},\n"licenses": [],\n')
    file.write(f'"videos": [{json.dumps(video, ensure_ascii=False)}],\n')
    file.write(f'"categories": {json.dumps(categories, ensure_ascii=False)},\n"annotations": [')
    for number, object_id in enumerate(job.source.object_ids, start=1):
        head: dict[str, Any] = {
            "id": number,
            "video_id": 1,
            "category_id": category_of[object_id],
            "track_id": object_id,
        }
        head |= {"iscrowd": 0, "width": W, "height": H, "length": length}
        file.write((",\n" if number > 1 else "\n") + json.dumps(head)[:-1])
        for part in _PARTS:
            file.write(f', "{part}": [')
            file.writelines(_list_entries(lists / f"{object_id}.{part}"))
            file.write("]")
        file.write("}")
    file.write("\n]}\n")


def _list_entries(path: Path) -> Iterator[str]:
    """The lines of a file as the entries of a list."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            yield (", " if number else "") + line.rstrip("\n")
