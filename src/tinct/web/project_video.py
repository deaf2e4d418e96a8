"""Where a project's video lies: elsewhere, by its path, or embedded in the project file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from tinct.io.atomic import atomic_write, path_below
from tinct.web.project_file import ProjectFile
from tinct.web.project_info import ProjectInfo


def video_path_of(file: ProjectFile, info: ProjectInfo, scratch: Path) -> Path:
    """The file or folder of frames, for the decoder.

    Args:
        file: The project file.
        info: Says whether it holds the video.
        scratch: The folder into which an embedded video is unpacked, if it is not yet.

    Raises:
        OutputError: The video cannot be unpacked.
    """
    path = Path(info.video)
    if not info.embedded:
        beside = file.path.parent / path.name  # a project that was sent along with its video
        return beside if beside.exists() and not path.exists() else path
    folder = scratch / "video"
    folder.mkdir(exist_ok=True)
    for stored in file.files("video"):
        target = path_below(folder, stored.name)
        if not target.exists() or target.stat().st_size != stored.size:
            with atomic_write(target) as part, part.open("wb") as out:
                out.writelines(file.read_file("video", stored.name))
    return scratch / path


def embed_video(path: Path, info: ProjectInfo, video: Path) -> None:
    """Store a video, or a folder of frames, in the project file that refers to it.

    Raises:
        OutputError: The file cannot be written.
    """
    several = video.is_dir()
    files = sorted(each for each in video.iterdir() if each.is_file()) if several else [video]
    inside = "video" if several else f"video/{video.name}"
    file = ProjectFile(path)
    try:
        for each in files:
            file.add_file("video", each)
        file.set_meta("project", asdict(replace(info, video=inside, embedded=True)))
    finally:
        file.close()
