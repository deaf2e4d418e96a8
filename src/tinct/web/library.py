"""All projects of a server: those on disk, and the videos of its command line."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinct.errors import OutputError, TinctError, VideoError
from tinct.io.atomic import sweep
from tinct.io.picture_frames import holds_several
from tinct.io.processes import process_tag
from tinct.io.video import IMAGE_SUFFIXES, Video
from tinct.web.http_errors import CallError, NotFoundError, TooMuchError
from tinct.web.limits import Limits
from tinct.web.old_folders import is_old_folder, take_over
from tinct.web.project import Project
from tinct.web.project_document import summary
from tinct.web.project_file import SUFFIX, new_project_file
from tinct.web.project_info import ProjectInfo
from tinct.web.uploads import clean_name, receive, slug


@dataclass
class _CommandLineVideo:
    """A video or project of the command line, which is opened in the background."""

    id: str
    path: Path
    error: str = ""
    opening: bool = True


class Library:
    """The folder of projects.

    Args:
        folder: Each `.tinct` file in it is a project. Projects of earlier versions, which were folders, are
            taken over, and then lie in `old-format`.
        limits: Limits of videos and uploads.

    Raises:
        OutputError: The folder cannot be created or written.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._lock = threading.RLock()
        self._projects: dict[str, Project] = {}
        self._broken: dict[str, str] = {}
        self._command_line: dict[str, _CommandLineVideo] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
            for path in sorted(folder.iterdir()):
                if is_old_folder(path):
                    self._take_over(path)
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                if not path.name.startswith("."):  # one that was cut short
                    self._load(path.stem, path)
        except OSError as error:
            raise OutputError(
                f"The folder of projects {folder} cannot be used: {error.strerror}. Choose one that can be "
                "written with --projects."
            ) from error

    def _take_over(self, old: Path) -> None:
        try:
            take_over(old, self._path(old.name))
            (self.folder / "old-format").mkdir(exist_ok=True)
            old.rename(self.folder / "old-format" / old.name)
        except TinctError as error:
            self._broken[old.name] = f"The project {old} cannot be opened: {error}"

    def _load(self, project_id: str, path: Path) -> None:
        """Open a project that is on disk; one that cannot be opened is listed with its error."""
        try:
            self._projects[project_id] = Project(path, self._scratch(project_id), project_id)
        except TinctError as error:
            self._broken[project_id] = f"The project {path} cannot be opened: {error}"

    def _path(self, project_id: str) -> Path:
        return self.folder / f"{project_id}{SUFFIX}"

    def _scratch(self, project_id: str) -> Path:
        return self.folder / ".scratch" / project_id

    def close(self) -> None:
        """Release the project files."""
        with self._lock:
            for project in self._projects.values():
                project.close()

    # The videos of the command line

    def add_video(self, path: Path) -> str:
        """Register a video or project file of the command line for `open_videos`; return its id."""
        path = path.resolve()
        mark = hashlib.sha256(str(path).encode()).hexdigest()[:6]
        inside = path.suffix == SUFFIX and path.parent == self.folder.resolve()
        entry = _CommandLineVideo(path.stem if inside else f"{slug(path.name)}-{mark}", path)
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
        if entry.id in self._broken:
            raise OutputError(self._broken[entry.id])
        if entry.id in self._projects:
            _ = self._projects[entry.id].video  # is it still the same?
            return
        path = entry.path
        if path.suffix != SUFFIX:
            video = Video.open(path)
            self.check_limits(video)
            path = self._path(entry.id)
            with new_project_file(path) as file:
                info = ProjectInfo.of(video, entry.path.name, str(entry.path), embedded=False)
                file.set_meta("project", asdict(info))
        project = Project(path, self._scratch(entry.id), entry.id)
        with self._lock:
            self._projects[entry.id] = project

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
                    found[i] = summary(project)
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
        """Create a project from an upload: one video, images that are its frames, or a project file.

        Raises:
            TooMuchError: A limit is exceeded.
            CallError: The upload is incomplete or mixed.
            VideoError: It is no video that can be read.
            OutputError: The disk is full.
        """
        from starlette.concurrency import run_in_threadpool

        limits = self.limits
        # A name that `sweep` knows, should this process be killed.
        temporary = tempfile.mkdtemp(".part", f".incoming.{process_tag()}-", self.folder)
        incoming = Path(temporary)
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
        if len(files) == 1 and files[0].suffix.lower() == SUFFIX:
            return self._take_in(incoming, files[0])
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
        with self._lock:
            project_id = self._free_id(name)
            with new_project_file(self._path(project_id)) as file:
                inside = where.relative_to(incoming).as_posix()
                file.set_meta("project", asdict(ProjectInfo.of(video, name, inside, embedded=True)))
                for each in files:
                    file.add_file("video", each)
            return self._adopt(project_id, incoming / "video")

    def _take_in(self, incoming: Path, path: Path) -> Project:
        """A project file from elsewhere: checked, and opened only with the video that it brings."""
        path = path.rename(incoming / path.name)
        with _with_uploaded_name(path, path.name):
            project = Project(path, incoming, "incoming")
            try:
                project.file.check()
                if not project.info.embedded:
                    raise CallError(
                        f"{path.name} refers to a video of the computer that it comes from. Save a copy "
                        "there with the video inside, or open it with `tinct app` beside its video."
                    )
                self.check_limits(project.video)
            finally:
                project.close()
        with self._lock:
            project_id = self._free_id(path.stem)
            path.rename(self._path(project_id))
            return self._adopt(project_id, incoming / "video")

    def _adopt(self, project_id: str, video: Path) -> Project:
        """Open a new project of this folder, whose embedded video is unpacked already."""
        scratch = self._scratch(project_id)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        video.rename(scratch / "video")
        self._projects[project_id] = Project(self._path(project_id), scratch, project_id)
        return self._projects[project_id]

    def _free_id(self, name: str) -> str:
        base = slug(name)
        on_disk = (path.name.removesuffix(SUFFIX) for path in self.folder.iterdir())
        taken = {*self._projects, *self._broken, *self._command_line, *on_disk}
        numbered = (f"{base}-{n}" for n in itertools.count(2))
        return next(i for i in itertools.chain([base], numbered) if i not in taken)

    def remove(self, project: Project) -> None:
        """Remove a project; a video or project file of the command line that lies elsewhere stays.

        Raises:
            OutputError: The file cannot be removed.
        """
        with self._lock, project.lock:
            path = project.file.path
            project.close()
            try:
                if path.parent == self.folder:
                    path.unlink()
            except OSError as error:
                raise OutputError(f"{path} cannot be removed: {error.strerror}.") from error
            shutil.rmtree(project.scratch, ignore_errors=True)
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
