"""COCO RLE JSON with track ids.

An image per frame (`id` is its index + 1, since COCO's tools take 0 for "none"), an annotation per
object and frame in which it is seen, with the object's id as `track_id` (and in
`attributes.track_id`, where CVAT looks for it). Objects of one name are of one category. Exact.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

from tinct.interchange.exports.categories import categories_of, file_names
from tinct.interchange.exports.formats import ExportJob
from tinct.interchange.exports.run_lengths import coco_module, run_lengths


def write_coco(job: ExportJob) -> None:
    """Write the JSON frame by frame, with one frame in memory."""
    coco_module()
    with job.out.open("w", encoding="utf-8") as file:
        _write_head(file, job)
        category_of, categories = categories_of(job.source)
        written = 0
        for index in job.indices():
            for object_id, found in run_lengths(job.source.read(index)).items():
                annotation = {
                    "id": written + 1,
                    "image_id": index + 1,
                    "category_id": category_of[object_id],
                    "track_id": object_id,
                    "segmentation": found.segmentation,
                    "area": found.area,
                    "bbox": found.bbox,
                    "iscrowd": 0,
                    "attributes": {"track_id": object_id},
                }
                file.write((",\n" if written else "\n") + json.dumps(annotation))
                written += 1
        file.write(f'\n],\n"categories": {json.dumps(categories, ensure_ascii=False)}}}\n')


def _write_head(file: TextIO, job: ExportJob) -> None:
    """Write the part before the annotations."""
    info: dict[str, Any] = {"description": job.source.title, "first": job.first, "last": job.last}
    if job.rate is not None:
        info["frame_rate"] = str(job.rate)
    file.write(f'{{"info": {json.dumps(info, ensure_ascii=False)},\n"licenses": [],\n"images": [')
    names = file_names(job.source)
    H, W = job.source.size
    for index in range(job.first, job.last + 1):
        image = {"id": index + 1, "file_name": names[index], "width": W, "height": H, "frame_index": index}
        file.write((",\n" if index > job.first else "\n") + json.dumps(image, ensure_ascii=False))
    file.write('\n],\n"annotations": [')
