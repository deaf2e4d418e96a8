"""All projects of a server: those on disk, and the videos of its command line."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tinct.errors import OutputError, TinctError, VideoError
from tinct.io.atomic import fsync_path
from tinct.io.json_files import reading
from tinct.io.picture_frames import holds_several
from tinct.io.video import IMAGE_SUFFIXES, Video
from tinct.web.http_errors import CallError, NotFoundError, TooMuchError
from tinct.web.limits import Limits
from tinct.web.project import Project, ProjectInfo, summary
from tinct.web.uploads import clean_name, receive, slug

_INCOMING = ".incoming-"


@dataclass
class _CommandLineVideo:
    """A video of the command line, which is opened in the background."""

    id: str
    path: Path
    error: str = ""
    opening: bool = True


class Library:
    """The folder of projects. One server at a time works in it.

    Args:
        folder: Each folder in it that holds a `project.json` is a project.
        limits: Limits of videos and uploads.

    Raises:
        OutputError: The folder cannot be created or written, or another server works in it.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._lock = threading.RLock()
        self._projects: dict[str, Project] = {}
        self._broken: dict[str, str] = {}
        self._command_line: dict[str, _CommandLineVideo] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = _lock_folder(folder)
            for path in sorted(folder.iterdir()):
                if path.name.startswith(_INCOMING):
                    shutil.rmtree(path, ignore_errors=True)  # an upload that was cut short
                elif (path / "project.json").exists():
                    self._load(path)
        except OSError as error:
            raise OutputError(
                f"The folder of projects {folder} cannot be used: {error.strerror}. Choose one that can be "
                "written with --projects."
            ) from error

    def _load(self, path: Path) -> None:
        """Open a project that is on disk; one that cannot be opened is listed with its error."""
        try:
            with reading(path, "a project of tinct", "Put back a copy of its files, or move it elsewhere."):
                self._projects[path.name] = Project(path)
        except TinctError as error:
            self._broken[path.name] = f"The project {path} cannot be opened: {error}"

    def close(self) -> None:
        """Release the lock on the folder."""
        self._lock_file.close()

    # The videos of the command line

    def add_video(self, path: Path) -> str:
        """Register a video of the command line for `open_videos`; return the id of its project."""
        path = path.resolve()
        mark = hashlib.sha256(str(path).encode()).hexdigest()[:6]
        entry = _CommandLineVideo(f"{slug(path.name)}-{mark}", path)
        self._command_line[entry.id] = entry
        return entry.id

    def open_videos(self) -> None:
        """Open the videos of the command line one by one; errors are shown in the list of projects."""
        for entry in list(self._command_line.values()):
            try:
                self._open(entry)
            except (TinctError, OSError) as error:
                entry.error = str(error)
            entry.opening = False

    def _open(self, entry: _CommandLineVideo) -> None:
        if entry.id in self._projects:
            _ = self._projects[entry.id].video  # is it still the same?
            return
        video = Video.open(entry.path)
        self.check_limits(video)
        folder = self.folder / entry.id
        info = ProjectInfo.of(video, entry.id, entry.path.name, str(entry.path), uploaded=False)
        folder.mkdir(exist_ok=True)
        info.write(folder)
        fsync_path(self.folder)
        with self._lock:
            self._projects[entry.id] = Project(folder, info)

    def check_limits(self, video: Video) -> None:
        """Check a video against the limits.

        Raises:
            TooMuchError: The video has too many frames, or too large ones.
        """
        H, W = video.size
        if self.limits.pixels < H * W:
            raise TooMuchError(
                f"The video's frames have {W}×{H} pixels; this server takes up to {self.limits.pixels} "
                "pixels a frame. Make it smaller, or start `tinct app` with a larger --max-pixels."
            )
        if len(video) > self.limits.frames:
            raise TooMuchError(
                f"The video has {len(video)} frames; this server takes up to {self.limits.frames}. Cut it, "
                "or start `tinct app` with a larger --max-frames."
            )

    # All projects

    def summaries(self) -> list[dict[str, Any]]:
        """All projects, those that cannot be opened with their reason; the named ones first."""
        with self._lock:
            unopened = {i: each for i, each in self._command_line.items() if each.opening or each.error}
            found: dict[str, dict[str, Any]] = {}
            for each in unopened.values():
                status = "opening" if each.opening else "failed"
                found[each.id] = _unopened_summary(each.id, each.path.name, status, each.error)
            for i in [*self._command_line, *self._projects]:
                if i in self._projects and i not in found:
                    project = self._projects[i]
                    found[i] = summary(project.info, project.run)
            for i, error in self._broken.items():
                found.setdefault(i, _unopened_summary(i, i, "failed", error))
            return list(found.values())

    def get(self, project_id: str) -> Project:
        """An open project.

        Raises:
            NotFoundError: There is no project of that id, or its video is still being opened.
            VideoError: Its video cannot be opened.
        """
        with self._lock:
            entry = self._command_line.get(project_id)
            if entry is not None and entry.error:
                raise VideoError(entry.error)
            if project_id in self._projects:
                return self._projects[project_id]
            if entry is not None:
                raise NotFoundError(
                    f"The video {entry.path.name} is still being opened; ask again in a moment."
                )
            raise NotFoundError(
                self._broken.get(project_id, f"There is no project {project_id!r}. Choose one of the list.")
            )

    async def add_upload(self, content_type: str, chunks: AsyncIterator[bytes]) -> Project:
        """Create a project from an upload: one video, or images that are its frames.

        Raises:
            TooMuchError: A limit is exceeded.
            CallError: The upload is incomplete or mixed.
            VideoError: It is no video that can be read.
            OutputError: The disk is full.
        """
        from starlette.concurrency import run_in_threadpool

        limits = self.limits
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.folder))
        try:
            (incoming / "video").mkdir()
            upload = await receive(
                content_type, chunks, incoming / "video", limits.upload_bytes, limits.frames
            )
            return await run_in_threadpool(
                self._create, incoming, upload.files, upload.fields.get("name", "")
            )
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _create(self, incoming: Path, files: list[Path], name: str) -> Project:
        images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        if len(files) > 1 and len(images) < len(files):
            other = next(path.name for path in files if path not in images)
            raise CallError(
                f"{len(files)} files came, and {other} is no image; send one video alone, or images that are "
                "the frames of one."
            )
        alone = len(files) == 1 and not (images and not holds_several(files[0]))
        where = files[0] if alone else incoming / "video"
        name = clean_name(name) if name else (files[0].name if len(files) == 1 else "frames")
        with _with_uploaded_name(where, "the images" if images else files[0].name):
            video = Video.open(where)
        self.check_limits(video)
        fsync_path(incoming / "video")
        with self._lock:
            project_id = self._free_id(name)
            relative = where.relative_to(incoming).as_posix()
            ProjectInfo.of(video, project_id, name, relative, uploaded=True).write(incoming)
            incoming.rename(self.folder / project_id)
            fsync_path(self.folder)
            project = Project(self.folder / project_id)
            self._projects[project_id] = project
        return project

    def _free_id(self, name: str) -> str:
        base = slug(name)
        taken = {
            *self._projects,
            *self._broken,
            *self._command_line,
            *(p.name for p in self.folder.iterdir()),
        }
        numbered = (f"{base}-{n}" for n in itertools.count(2))
        return next(i for i in itertools.chain([base], numbered) if i not in taken)

    def remove(self, project: Project) -> None:
        """Remove a project's folder; a video of the command line itself stays.

        Raises:
            OutputError: The folder cannot be removed.
        """
        with self._lock, project.lock:
            gone = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.folder))
            try:
                project.folder.rename(gone / project.id)
            except OSError as error:
                raise OutputError(f"{project.folder} cannot be removed: {error.strerror}.") from error
            finally:
                shutil.rmtree(gone, ignore_errors=True)
            del self._projects[project.id]
            self._command_line.pop(project.id, None)


@contextmanager
def _with_uploaded_name(path: Path, name: str) -> Iterator[None]:
    """Within this block, errors name an uploaded file by its original name instead of its path here."""
    try:
        yield
    except TinctError as error:
        raise type(error)(str(error).replace(str(path), name)) from error


def _unopened_summary(project_id: str, name: str, status: str, error: str) -> dict[str, Any]:
    unknown = dict.fromkeys(("frames", "fps", "width", "height"))
    return {"id": project_id, "name": name, **unknown, "uploaded": False, "status": status, "error": error}


def _lock_folder(folder: Path) -> IO[bytes]:
    """Lock a folder against other servers for as long as the returned file is open."""
    file = (folder / ".server").open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise OutputError(
            f"Another tinct app works in {folder} already; use its page, or choose another folder with "
            "--projects."
        ) from error
    return file
