"""The kinds of file that tinct reads: for each a small one, and its reader, for `fuzz.py`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

H, W = 24, 32


@dataclass(frozen=True)
class FileKind:
    """One kind of file.

    Attributes:
        name: For the report.
        file: The file's name.
        write: Writes a good one.
        read: Reads one, with all that tinct itself would read of it; gives something that compares.
        form: "bytes", "json" or "text" (XML, YAML, lists): how it is damaged, beside its bytes.
        has_checksum: A damaged one is never read as another value.
    """

    name: str
    file: str
    write: Callable[[Path], None]
    read: Callable[[Path], Any]
    form: str = "bytes"
    has_checksum: bool = False


def digest(value: Any) -> int:
    """A checksum of an array's bytes, or of bytes."""
    return zlib.crc32(np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)


def frame(seed: int = 0) -> np.ndarray:
    """A smooth picture, uint8 [H, W, 3]."""
    rows, columns = np.mgrid[:H, :W]
    return np.stack([rows * 9 + seed, columns * 7, rows * 3 + columns * 4], 2).astype(np.uint8)


def labels() -> np.ndarray:
    """Objects 1 and 5."""
    found = np.zeros((H, W), np.uint8)
    found[4:12, 4:14], found[14:22, 16:28] = 1, 5
    return found


def a_video() -> Any:
    """Two frames in memory, 00000 and 00001."""
    from tinct.io.video import Video

    return Video.from_arrays([frame(), frame(1)], ["00000", "00001"])


def picture_writer(**options: Any) -> Callable[[Path], None]:
    """Saves `frame()` with Pillow."""

    def write(path: Path) -> None:
        from PIL import Image

        Image.fromarray(frame()).save(path, **options)

    return write


def exif_writer(path: Path) -> None:
    """A JPEG that is turned by its EXIF orientation."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "maker", "model"
    Image.fromarray(frame()).save(path, exif=exif)


def deep_writer(path: Path) -> None:
    """A picture of 16 bits."""
    from PIL import Image

    Image.fromarray(frame()[..., 0].astype(np.uint16) * 100).save(path)


def deep_colour_writer(path: Path) -> None:
    """A picture of 16 bits a channel, which only OpenCV reads and writes."""
    import cv2

    cv2.imwrite(str(path), frame().astype(np.uint16) * 100)


def pages_writer(path: Path) -> None:
    """A picture file of four pages."""
    from PIL import Image

    first, *others = (Image.fromarray(frame(40 * index)) for index in range(4))
    first.save(path, save_all=True, append_images=others, lossless=True)  # which TIFF passes over


def read_folder(path: Path) -> Any:
    """All frames of the file's folder."""
    from tinct.io.video import Video

    video = Video.open(path.parent)
    return video.size, [digest(picture) for picture in video]


def write_video(path: Path) -> None:
    """Six frames of H.264."""
    from tinct.io.video_writer import VideoWriter

    with VideoWriter(path.with_suffix(".mp4")) as writer:
        for index in range(6):
            writer.write(frame(index))


def read_video(path: Path) -> Any:
    """All frames of a video file."""
    from tinct.io.video import Video

    video = Video.open(path)
    return len(video), video.size, [digest(picture) for picture in video]


def write_mask_file(path: Path) -> None:
    """A palette PNG."""
    from tinct.io.mask_files import write_mask

    write_mask(path, labels())


def read_mask_file(path: Path) -> Any:
    """As a mask that somebody painted."""
    from tinct.io.mask_files import read_mask

    return digest(read_mask(path, frame_size=(H, W)))


def repair_mask_file(path: Path) -> Any:
    """As a mask that somebody painted, with stray colours mended."""
    from tinct.io.mask_files import read_mask

    return digest(read_mask(path, frame_size=(H, W), repair=True))


def read_label_file(path: Path) -> Any:
    """As a mask of tinct's own, an annotation, and a prediction."""
    from tinct.data.images import read_indices
    from tinct.evaluation.predictions import read_prediction
    from tinct.io.mask_files import read_label_png

    read_prediction(path, (H, W), merged=False)
    return digest(read_indices(path)[0]), digest(read_label_png(path))


def write_soft(path: Path) -> None:
    """Probabilities of one object."""
    from tinct.io.soft_masks import write_soft_mask

    write_soft_mask(path, (labels() == 1).astype(np.float32) * 0.7)


def read_soft(path: Path) -> Any:
    """Probabilities of one object."""
    from tinct.io.soft_masks import read_soft_mask

    return digest(read_soft_mask(path, (H, W)))


def write_coco(path: Path) -> None:
    """COCO JSON with polygons, run lengths and track ids."""
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 2, "attributes": {"track_id": 8},
         "segmentation": [[4, 4, 14, 4, 14, 12, 4, 12]]},
        {"id": 2, "image_id": 1, "category_id": 2, "attributes": {"track_id": 3}, "iscrowd": 1,
         "segmentation": {"size": [H, W], "counts": [100, 40, H * W - 140]}},
    ]  # fmt: skip
    images = [{"id": 1, "file_name": "00000.png", "width": W, "height": H}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 2, "name": "dog"}]}
    path.write_text(json.dumps(content))


def write_labelme(path: Path) -> None:
    """LabelMe JSON with a polygon, a box and a circle."""
    shapes = [
        {"label": "dog", "points": [[4, 4], [14, 4], [14, 12]], "shape_type": "polygon", "group_id": 1},
        {"label": "cat", "points": [[16, 14], [28, 22]], "shape_type": "rectangle", "group_id": None},
        {"label": "ball", "points": [[20, 6], [23, 6]], "shape_type": "circle"},
    ]
    content = {
        "version": "5.0",
        "shapes": shapes,
        "imagePath": "00000.png",
        "imageHeight": H,
        "imageWidth": W,
    }
    path.write_text(json.dumps(content))


def write_cvat(path: Path) -> None:
    """CVAT's XML for images."""
    path.write_text(
        f"""<?xml version="1.0"?><annotations><meta><task><labels><label><name>dog</name></label></labels>
        </task></meta><image id="0" name="00000.png" width="{W}" height="{H}">
        <polygon label="dog" points="4.0,4.0;14.0,4.0;14.0,12.0" z_order="0"></polygon>
        <box label="dog" xtl="16" ytl="14" xbr="28" ybr="22" z_order="1"></box>
        <mask label="dog" rle="2, 3, 3" left="2" top="2" width="4" height="2" z_order="2"></mask>
        </image></annotations>"""
    )


def write_cvat_tracks(path: Path) -> None:
    """CVAT's XML for video."""
    box = 'outside="0" keyframe="1" xtl="6" ytl="4" xbr="18" ybr="12" z_order="0"'
    path.write_text(
        f"""<annotations><meta><task><labels><label><name>dog</name></label></labels></task></meta>
        <track id="1" label="dog"><box frame="0" {box}></box><polygon frame="1" keyframe="1" outside="0"
        points="4.0,4.0;14.0,4.0;14.0,12.0" z_order="0"></polygon></track>
        <track id="2" label="dog"><mask frame="1" keyframe="1" outside="0" rle="2, 3, 3" left="20" top="2"
        width="4" height="2" z_order="1"></mask></track></annotations>"""
    )


def write_cvat_zip(path: Path) -> None:
    """CVAT's XML for video, in a ZIP."""
    import zipfile

    xml = path.with_name("annotations.xml")
    write_cvat_tracks(xml)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(xml, xml.name)


def read_annotation_file(path: Path) -> Any:
    """Prompts of another program."""
    from tinct.interchange.imports import read_annotations

    found = read_annotations(path, a_video())
    return {index: digest(labels) for index, labels in found.prompts.items()}, dict(found.names)


def write_proposals(path: Path) -> None:
    """Boxes of two frames."""
    path.write_text(
        json.dumps({"00000": [[1, 2, 10, 12, 0.9]], "00001": [[3, 4, 20, 15, 0.5], [0, 0, 5, 5, 1]]})
    )


def read_proposals(path: Path) -> Any:
    """Boxes of a video."""
    import torch

    from tinct.networks.dyenet.proposal_sources import proposal_source

    source = proposal_source(str(path), a_video(), torch.device("cpu"))
    return [np.asarray(source.boxes(index, frame(index))).tolist() for index in range(2)]


def write_scores_file(path: Path) -> None:
    """Scores of one sequence, per frame."""
    from tinct.evaluation.results import write_scores
    from tinct.evaluation.score import score_folders
    from tinct.io.mask_files import write_mask

    for folder in ("truth", "masks"):
        for index in range(3):
            target = path.parent / folder / "dog" / f"{index:05d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_mask(target, np.roll(labels(), index * (folder == "masks"), 1))
    scores = score_folders(path.parent / "masks", path.parent / "truth", "plain")
    write_scores(path, scores, per_frame=True)


def read_scores_file(path: Path) -> Any:
    """Scores, and what is made of them."""
    from tinct.evaluation.compare import compare
    from tinct.evaluation.results import read_scores

    scores = read_scores(path)
    compare(scores, scores)
    return json.dumps(scores.to_json(), sort_keys=True)


def write_meta(path: Path) -> None:
    """YouTube-VOS's meta.json."""
    content = {"videos": {"abc": {"objects": {"1": {"category": "dog", "frames": ["00000", "00005"]}}}}}
    path.write_text(json.dumps(content))


def read_meta_file(path: Path) -> Any:
    """YouTube-VOS's meta.json."""
    from tinct.data.youtube_vos import read_meta

    return str(read_meta(path.parent))


def write_list(path: Path) -> None:
    """A list of DAVIS's sequences, with what it lists around it."""
    root = path.parent
    for name in ("bear", "camel"):
        for folder, write in (("JPEGImages", picture_writer()), ("Annotations", write_mask_file)):
            (root / folder / "480p" / name).mkdir(parents=True, exist_ok=True)
            write(root / folder / "480p" / name / f"00000.{'jpg' if folder == 'JPEGImages' else 'png'}")
    path.write_text("bear\ncamel\n")


def read_listed(path: Path) -> Any:
    """The sequences that it lists, and their annotations."""
    from tinct.data.davis import Davis

    (path.parent / "ImageSets" / "2017").mkdir(parents=True, exist_ok=True)
    (path.parent / "ImageSets" / "2017" / "train.txt").write_bytes(path.read_bytes())
    return [(each.name, len(each)) for each in Davis(path.parent, "train", year="2017")]


def write_attributes(path: Path) -> None:
    """DAVIS's attributes of two sequences."""
    path.write_text("sequences:\n- name: bear\n  attributes: [AC, BC]\n- name: camel\n  attributes: [CS]\n")


def read_attributes_file(path: Path) -> Any:
    """DAVIS's attributes."""
    from tinct.data.attributes import read_attributes

    return read_attributes(path)


def write_card(path: Path) -> None:
    """A model card of the package."""
    import tinct
    from tinct.zoo import METHODS

    assert METHODS
    path.write_bytes((Path(tinct.__file__).parent / "weights" / "feelvos_mobilenetv2.json").read_bytes())


def read_card_file(path: Path) -> Any:
    """A model card."""
    from tinct.zoo.build import read_card

    return str(read_card(path))


FILE_KINDS = {
    kind.name: kind
    for kind in (
        FileKind("frame PNG", "00000.png", picture_writer(), read_folder, has_checksum=True),
        FileKind("frame JPEG", "00000.jpg", picture_writer(), read_folder),
        FileKind("frame JPEG, turned", "00000.jpg", exif_writer, read_folder),
        FileKind("frame PNG, 16 bits", "00000.png", deep_writer, read_folder, has_checksum=True),
        FileKind("frame TIFF", "00000.tif", picture_writer(), read_folder),
        FileKind("frame WebP", "00000.webp", picture_writer(lossless=True), read_folder),
        FileKind("frame PNG, 16 bits of colour", "00000.png", deep_colour_writer, read_folder, "bytes", True),
        FileKind("frame TIFF, 16 bits of colour", "00000.tif", deep_colour_writer, read_folder),
        FileKind("pages TIFF", "clip.tif", pages_writer, read_video),
        FileKind("pages WebP", "clip.webp", pages_writer, read_video),
        FileKind("video MP4", "clip.mp4", write_video, read_video),
        FileKind("mask PNG", "mask.png", write_mask_file, read_mask_file, has_checksum=True),
        FileKind("mask PNG, repaired", "mask.png", write_mask_file, repair_mask_file, has_checksum=True),
        FileKind("mask PNG of a folder", "mask.png", write_mask_file, read_label_file, has_checksum=True),
        FileKind("soft mask", "soft.png", write_soft, read_soft, has_checksum=True),
        FileKind("COCO", "coco.json", write_coco, read_annotation_file, form="json"),
        FileKind("LabelMe", "labelme.json", write_labelme, read_annotation_file, form="json"),
        FileKind("CVAT", "cvat.xml", write_cvat, read_annotation_file, "text"),
        FileKind("CVAT tracks", "tracks.xml", write_cvat_tracks, read_annotation_file, "text"),
        FileKind(
            "CVAT tracks, zipped", "tracks.zip", write_cvat_zip, read_annotation_file, has_checksum=True
        ),
        FileKind("proposals", "boxes.json", write_proposals, read_proposals, form="json"),
        FileKind("scores", "scores.json", write_scores_file, read_scores_file, form="json"),
        FileKind("YouTube-VOS meta", "meta.json", write_meta, read_meta_file, form="json"),
        FileKind("list of sequences", "train.txt", write_list, read_listed, "text"),
        FileKind("attributes", "db_info.yml", write_attributes, read_attributes_file, "text"),
        FileKind("model card", "card.json", write_card, read_card_file, form="json"),
    )
}
