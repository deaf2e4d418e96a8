"""The layout of each dataset: where its sequences are, what they should hold, and which are absent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tinct.data import plain, segtrack, youtube_vos
from tinct.data.annotations import files_of, label_files
from tinct.data.check_sequence import GREY, PALETTE, Finding, SequenceFiles
from tinct.data.davis import check_release
from tinct.data.lists import (
    KnownSequence,
    find_list,
    first_names,
    known_sequences,
    known_splits,
    known_video_counts,
    list_files,
    list_names,
    read_list,
)
from tinct.errors import DatasetError


@dataclass
class Layout:
    """The contents of a dataset's folders, before any file is read.

    Attributes:
        sequences: The sequences that were found.
        findings: Faults of folders, lists and names.
    """

    sequences: list[SequenceFiles] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def survey_davis(root: Path, year: str, split: str | None = None, resolution: str = "480p") -> Layout:
    """DAVIS: the known sequences of the splits, and those of the root's own lists.

    Args:
        root: The folder that holds JPEGImages, Annotations and ImageSets.
        year: "2016" or "2017".
        split: One list; None for train, val and every list that the root has.
        resolution: The name of the folders.

    Raises:
        OptionError: The year or resolution is unknown.
        DatasetError: The split is neither known nor a list of the root.
    """
    check_release(year, resolution)
    layout = Layout()
    frames, masks = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    layout.findings += (
        Finding("layout", "", folder, "is not there") for folder in (frames, masks) if not folder.is_dir()
    )
    lists = _davis_lists(root, year, split, resolution)
    known = known_sequences(f"davis-{year}")
    wanted = _wanted_splits(year, split, lists)
    names = {name: sequence.split for name, sequence in known.items() if sequence.split in wanted}
    for list_name, listing in lists.items():
        names.update({name: list_name for name in read_list(listing) if name not in names})
    for name, source in names.items():
        files = _davis_files(frames, masks, name, known.get(name), source, year, resolution)
        if files.frames or files.masks:
            layout.sequences.append(files)
        elif name in known:
            message = f"belongs to the {known[name].split} split of davis-{year}, and is not there"
            layout.findings.append(Finding("absent", name, None, message))
    present = {files.name for files in layout.sequences}
    for list_name, listing in lists.items():
        layout.findings += _check_list(listing, present, _of_split(known, list_name))
    for wanted_split in sorted(wanted - set(lists)):
        if present & _of_split(known, wanted_split):
            path = root / "ImageSets" / year / f"{wanted_split}.txt"
            layout.findings.append(Finding("layout", "", path, "is not there"))
    return layout


def _davis_lists(root: Path, year: str, split: str | None, resolution: str) -> dict[str, Path]:
    """The root's lists to check, by name."""
    if split is None:
        return list_files(root, year=year, resolution=resolution)
    listing = find_list(root, split, year=year, resolution=resolution)
    if listing is None and split not in (*known_splits(f"davis-{year}"), "trainval"):
        list_names(root, split, year=year, resolution=resolution)  # raises, and names the lists
    return {} if listing is None else {split: listing}


def _wanted_splits(year: str, split: str | None, lists: Collection[str]) -> set[str]:
    """The known splits that should be there."""
    if split == "trainval":
        return {"train", "val"}
    splits = set(known_splits(f"davis-{year}"))
    if split is not None:
        return {split} & splits
    return {"train", "val"} | (splits & set(lists))


def _of_split(known: Mapping[str, KnownSequence], split: str) -> set[str]:
    splits = ("train", "val") if split == "trainval" else (split,)
    return {name for name, sequence in known.items() if sequence.split in splits}


def _davis_files(
    frames: Path, masks: Path, name: str, known: KnownSequence | None, source: str, year: str, resolution: str
) -> SequenceFiles:
    merged = year == "2016"
    ids = frozenset(range(1, known.objects + 1)) if known is not None and not merged else None
    return SequenceFiles(
        name,
        {path.stem: path for path in files_of(frames / name, frozenset({".jpg"}))},
        {path.stem: path for path in label_files(masks / name)},
        # Test sets publish the first annotation only.
        annotated="first" if (known.split if known else source).startswith("test") else "all",
        mask_modes=PALETTE | GREY if merged else PALETTE,
        frame_count=known.frames if known else None,
        object_ids=ids,
        ids_at_once=not merged,
        size=known.size_480p if known and resolution == "480p" else None,
    )


def _check_list(listing: Path, present: Collection[str], known: Collection[str]) -> list[Finding]:
    """Compare a list with the sequences that were found, and with the known list of its name."""
    names = read_list(listing)
    absent = [name for name in names if name not in present]
    unnamed = sorted(set(known) - set(names))
    findings = []
    if not names:
        findings.append(Finding("list", "", listing, "names no sequence"))
    if absent:
        message = f"names {len(absent)} of {len(names)} sequences that are absent: {first_names(absent)}"
        findings.append(Finding("list", "", listing, message))
    if unnamed and names:
        message = f"does not name {len(unnamed)} of {len(known)} known sequences: {first_names(unnamed)}"
        findings.append(Finding("list", "", listing, message))
    return findings


def survey_youtube_vos(root: Path, split: str | None = None) -> Layout:
    """YouTube-VOS: the videos of meta.json, or of the folders if there is none.

    Args:
        root: The folder that holds the splits.
        split: One split; None for all that exist.

    Raises:
        DatasetError: The split does not exist, or a meta.json is broken.
    """
    layout = Layout()
    splits = [split] if split else sorted(path.parent.name for path in root.glob("*/JPEGImages"))
    for name in splits or ["train"]:
        folder = youtube_vos.split_folder(root, name)
        meta = youtube_vos.read_meta(folder)
        layout.findings += _check_meta(folder, meta)
        for video in sorted(meta) or youtube_vos.video_names(folder):
            files = _youtube_files(folder, video, meta.get(video))
            if not files.frames and not files.masks:
                layout.findings.append(
                    Finding("absent", video, None, f"belongs to the {name} split, and is not there")
                )
                continue
            layout.sequences.append(files)
            layout.findings += _check_first_frames(folder, files, meta.get(video, {}))
    return layout


def _check_meta(folder: Path, meta: youtube_vos.Meta) -> list[Finding]:
    """Compare meta.json with the folders, and the number of videos with the known ones."""
    path, videos = folder / "meta.json", set(youtube_vos.video_names(folder))
    if not meta:
        return [Finding("layout", "", path, "is not there, or names no video")]
    findings = []
    counts = known_video_counts(folder.name)
    if counts and len(meta) not in counts.values():
        known = " or ".join(f"{count} ({year})" for year, count in counts.items())
        findings.append(Finding("count", "", path, f"names {len(meta)} videos; {known} are known"))
    unlisted = sorted(videos - set(meta))
    if unlisted:
        message = f"does not name {len(unlisted)} of the folders: {first_names(unlisted)}"
        findings.append(Finding("list", "", path, message))
    return findings


def _youtube_files(
    folder: Path, video: str, objects: Mapping[int, youtube_vos.VideoObject] | None
) -> SequenceFiles:
    frames = files_of(folder / "JPEGImages" / video, youtube_vos.FRAME_SUFFIXES)
    return SequenceFiles(
        video,
        {path.stem: path for path in frames},
        {path.stem: path for path in label_files(folder / "Annotations" / video)},
        mask_modes=PALETTE,
        object_ids=frozenset(objects) if objects else None,
    )


def _check_first_frames(
    folder: Path, files: SequenceFiles, objects: Mapping[int, youtube_vos.VideoObject]
) -> list[Finding]:
    """Check that the first frame of every object is annotated."""
    findings = []
    for object_id, facts in objects.items():
        first = facts.frames[0] if facts.frames else None
        if first is not None and files.masks and first not in files.masks:
            path = folder / "Annotations" / files.name / f"{first}.png"
            message = f"is not there; object {object_id} begins in it"
            findings.append(Finding("missing", files.name, path, message))
    return findings


def survey_segtrack(root: Path) -> Layout:
    """SegTrack v2: the known sequences, and those of the root's own list.

    Raises:
        DatasetError: The root has neither a list nor a ground truth.
    """
    layout = Layout()
    listed = segtrack.sequence_names(root)
    known = known_sequences("segtrack-v2")
    for name in dict.fromkeys((*known, *listed)):
        expected = known.get(name)
        files = _segtrack_files(root, name, expected)
        if files.frames or files.masks:
            layout.sequences.append(files)
            layout.findings += _check_frame_list(root, name, files)
        elif expected is not None:
            layout.findings.append(Finding("absent", name, None, "belongs to SegTrack v2, and is not there"))
    listing = root / "ImageSets" / "all.txt"
    present = {files.name for files in layout.sequences}
    absent = [name for name in listed if name not in present]
    if not listing.is_file():
        layout.findings.append(Finding("layout", "", listing, "is not there"))
    elif absent:
        message = f"names {len(absent)} of {len(listed)} sequences that are absent: {first_names(absent)}"
        layout.findings.append(Finding("list", "", listing, message))
    return layout


def _segtrack_files(root: Path, name: str, known: KnownSequence | None) -> SequenceFiles:
    truth = segtrack.ground_truth(root, name)
    return SequenceFiles(
        name,
        segtrack.frame_files(root, name),
        dict(truth),
        annotated="all",
        object_ids=frozenset(range(1, known.objects + 1)) if known else None,
    )


def _check_frame_list(root: Path, name: str, files: SequenceFiles) -> list[Finding]:
    """Compare the list of a sequence with its frames."""
    listing, stems = root / "ImageSets" / f"{name}.txt", segtrack.frame_names(root, name)
    if not stems:
        return [Finding("layout", name, listing, "is not there, or names no frame")]
    findings = []
    for wrong, message in (
        ([stem for stem in stems if stem not in files.frames], "names {} frames that are absent: {}"),
        ([stem for stem in files.frames if stem not in stems], "does not name {} of the frames: {}"),
    ):
        if wrong:
            findings.append(Finding("list", name, listing, message.format(len(wrong), first_names(wrong))))
    return findings


def survey_plain(frames: Path, masks: Path) -> Layout:
    """Plain folders: every folder of frames, and folders of masks that have no frames.

    Raises:
        DatasetError: There is no frame.
    """
    pairs = plain.paired_folders(frames, masks) if frames.is_dir() else {}
    if not pairs:
        raise DatasetError(
            f"{frames} holds no image and no folder with images; give the folder of the frames."
        )
    layout = Layout()
    for name, (frames_folder, masks_folder) in pairs.items():
        files = SequenceFiles(
            name,
            {path.stem: path for path in files_of(frames_folder, plain.FRAME_SUFFIXES)},
            {path.stem: path for path in label_files(masks_folder)},
            mask_modes=PALETTE | GREY,
        )
        layout.sequences.append(files)
    if masks.is_dir() and not label_files(masks):
        for folder in sorted(path for path in masks.iterdir() if path.is_dir() and path.name not in pairs):
            if label_files(folder):
                layout.findings.append(
                    Finding("extra", folder.name, folder, "holds masks, but has no frames")
                )
    return layout
