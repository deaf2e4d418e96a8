"""A project file (`NAME.tinct`): one SQLite database with everything that was confirmed to a client.

    meta        what is known of the project, as JSON by key (`tinct.web.project.ProjectInfo`)
    journal     annotations, step by step, as JSON (`tinct.web.journal`)
    prompts     label maps of annotated frames as palette PNGs, named by their content
    runs        what each run was to compute, and how it ended (`tinct.web.run_log`)
    masks       computed label maps as palette PNGs, by frame and run, with their confidence
    soft_masks  probabilities of one object as 8-bit grey PNGs (255 is certain), by frame and run
    files       an embedded video or its frames, and exports; `chunks` holds their bytes

A change is on disk when its method returns (write-ahead log, synchronous=FULL), all of it or none. The file
is locked against other processes while it is open. Meanwhile the newest changes may lie in `NAME.tinct-wal`:
the file alone is complete once it was closed; `save_copy` gives a complete one at any time.
"""

from __future__ import annotations

import errno
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from tinct.errors import OutputError
from tinct.io.atomic import fsync_path
from tinct.io.processes import process_tag

SUFFIX = ".tinct"

APPLICATION_ID = 0x74696E63
"""Marks SQLite databases that are projects of tinct."""

VERSION = 1
"""The version of `SCHEMA`."""

CHUNK_BYTES = 2**22
"""Large files are stored in pieces, so that masks can be written in between."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE journal (revision INTEGER PRIMARY KEY, entry TEXT NOT NULL);
CREATE TABLE prompts (name TEXT PRIMARY KEY, objects TEXT NOT NULL, png BLOB NOT NULL);
CREATE TABLE runs (number INTEGER PRIMARY KEY, root INTEGER NOT NULL, state INTEGER NOT NULL,
    start INTEGER NOT NULL, direction TEXT NOT NULL, passes TEXT NOT NULL, settings TEXT NOT NULL,
    status TEXT, message TEXT NOT NULL DEFAULT '');
CREATE TABLE masks (frame INTEGER NOT NULL, run INTEGER NOT NULL, confidence REAL NOT NULL,
    objects TEXT NOT NULL, png BLOB NOT NULL, PRIMARY KEY (frame, run));
CREATE TABLE soft_masks (frame INTEGER NOT NULL, run INTEGER NOT NULL, object INTEGER NOT NULL,
    png BLOB NOT NULL, PRIMARY KEY (frame, run, object));
CREATE TABLE files (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, size INTEGER,
    created REAL NOT NULL, UNIQUE (kind, name));
CREATE TABLE chunks (file INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (file, number));
"""

FileKind = Literal["video", "export"]


@dataclass(frozen=True)
class StoredFile:
    """A file inside a project file: its name, its size in bytes, and when it was stored (seconds, Unix)."""

    name: str
    size: int
    created: float


class ProjectFile:
    """An open project file. Its methods may be called from any thread.

    Every method raises OutputError if the file cannot be read or written; then nothing has changed.

    Args:
        path: The file.
        create: Whether to make a new one, which must not exist yet.

    Raises:
        OutputError: The file is no project, is damaged, or is open in another process.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        if path.exists() == create:
            raise OutputError(f"{path} is there already." if create else f"There is no project file {path}.")
        with self._explained():
            mode = "rwc" if create else "rw"
            address = f"file:{quote(str(path.resolve()))}?mode={mode}"
            self._db = sqlite3.connect(
                address, uri=True, check_same_thread=False, isolation_level=None, timeout=1
            )
        try:
            with self._explained():
                self._open(create)
        except BaseException:
            self._db.close()
            raise

    def _open(self, create: bool) -> None:
        # A file from a stranger may hold no code that runs (triggers, views), and no damaged pages.
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "locking_mode=EXCLUSIVE"):
            self._db.execute(f"PRAGMA {pragma}")
        if create:
            # A mask has some kilobytes; smaller pages than SQLite's usual 4096 bytes waste less behind it.
            marks = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};"
            self._db.executescript(f"PRAGMA page_size=2048; {marks} {SCHEMA}")
        elif self._db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise OutputError(f"{self.path} is no project of tinct. Choose another file.")
        elif (version := self._db.execute("PRAGMA user_version").fetchone()[0]) != VERSION:
            raise OutputError(f"{self.path} is of version {version}; this tinct reads {VERSION}. Update it.")
        elif _schema_of(self._db) != _SCHEMA:
            raise OutputError(f"{self.path} holds other tables than a project of tinct. Choose another file.")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        with self.transaction() as db:  # takes the lock, which is held until the file is closed
            db.execute("DELETE FROM chunks WHERE file IN (SELECT id FROM files WHERE size IS NULL)")
            db.execute("DELETE FROM files WHERE size IS NULL")  # cut short by a kill

    def check(self) -> None:
        """Look at every page, as befits a file from a stranger; OutputError if one is damaged."""
        if self.rows("PRAGMA quick_check(1)") != [("ok",)]:
            raise OutputError(f"{self.path} is damaged. Put back a copy of it.")

    def close(self) -> None:
        """Move everything into the one file, and release it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Changes that become durable together when the block ends, or not at all."""
        with self._lock, self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: object) -> list[Any]:
        """The rows of a SELECT."""
        with self._lock, self._explained():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Within this block, errors of SQLite become errors of tinct."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                text = f"{self.path} is open in another tinct app. Use its page, or end it first."
            elif code.startswith("SQLITE_FULL"):
                full = OSError(errno.ENOSPC, "No space left on device")
                text = (
                    f"{self.path} cannot be written: {full.strerror}. Free some space; nothing was changed."
                )
                raise OutputError(text) from full
            elif code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
                text = f"{self.path} is damaged, or no project of tinct ({error}). Put back a copy of it."
            else:
                text = f"{self.path} cannot be used: {error}. Check its rights and the disk."
            raise OutputError(text) from error

    # Metadata

    def meta(self, key: str) -> Any:
        """The value of a key as it was set; None if it never was."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(found[0][0]) if found else None

    def set_meta(self, key: str, value: object) -> None:
        """Set the value of a key, anything that JSON holds."""
        with self.transaction() as db:
            db.execute("REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, ensure_ascii=False)))

    # Label maps and soft masks

    def add_prompt(self, name: str, object_ids: Iterable[int], png: bytes) -> None:
        """Store the label map of an annotated frame under a name made of its content."""
        with self.transaction() as db:
            row = (name, json.dumps([*object_ids]), png)
            db.execute("INSERT OR IGNORE INTO prompts VALUES (?, ?, ?)", row)

    def prompt(self, name: str) -> bytes:
        """The PNG of a stored prompt."""
        return self._blob("SELECT png FROM prompts WHERE name = ?", name)

    def prompt_ids(self) -> dict[str, tuple[int, ...]]:
        """The object ids of every stored prompt, by name."""
        return {name: tuple(json.loads(ids)) for name, ids in self.rows("SELECT name, objects FROM prompts")}

    def add_mask(
        self,
        frame: int,
        run: int,
        png: bytes,
        confidence: float,
        objects: Mapping[int, float] | None = None,
        soft: Mapping[int, bytes] | None = None,
    ) -> None:
        """Store the mask of a frame that a run has computed, in the place of an earlier one of the same run.

        Args:
            frame: Its index.
            run: The run's number.
            png: The label map as a palette PNG.
            confidence: In [0, 1].
            objects: The confidence of each object, by id.
            soft: The probabilities of each object as 8-bit grey PNGs, by id.
        """
        by_object = json.dumps({i: round(value, 4) for i, value in (objects or {}).items()})
        with self.transaction() as db:
            db.execute("REPLACE INTO masks VALUES (?, ?, ?, ?, ?)", (frame, run, confidence, by_object, png))
            self._put_soft(db, frame, run, soft or {})

    def mask(self, frame: int, run: int) -> bytes:
        """The PNG of a computed mask."""
        return self._blob("SELECT png FROM masks WHERE frame = ? AND run = ?", frame, run)

    def masks(self) -> Iterator[tuple[int, int, float, dict[int, float]]]:
        """(frame, run, confidence, confidence of each object) of every computed mask, in this order."""
        query = "SELECT frame, run, confidence, objects FROM masks ORDER BY frame, run"
        for frame, run, confidence, objects in self.rows(query):
            yield frame, run, confidence, {int(i): value for i, value in json.loads(objects).items()}

    def soft_masks(self, frame: int, run: int) -> dict[int, bytes]:
        """The soft masks of a frame, 8-bit grey PNGs by object id; empty if there are none."""
        query = "SELECT object, png FROM soft_masks WHERE frame = ? AND run = ? ORDER BY object"
        return dict(self.rows(query, frame, run))

    def has_soft_masks(self) -> bool:
        """Whether any frame has soft masks."""
        return bool(self.rows("SELECT 1 FROM soft_masks LIMIT 1"))

    @staticmethod
    def _put_soft(db: sqlite3.Connection, frame: int, run: int, soft: Mapping[int, bytes]) -> None:
        db.execute("DELETE FROM soft_masks WHERE frame = ? AND run = ?", (frame, run))
        rows = ((frame, run, object_id, png) for object_id, png in soft.items())
        db.executemany("INSERT INTO soft_masks VALUES (?, ?, ?, ?)", rows)

    def _blob(self, query: str, *values: object) -> bytes:
        found = self.rows(query, *values)
        if not found:
            raise OutputError(f"{self.path} is damaged: it lacks the mask {values}. Put back a copy of it.")
        return bytes(found[0][0])

    # Files

    def add_file(self, kind: FileKind, source: Path, name: str | None = None) -> None:
        """Store the content of a file, in the place of an earlier one of its kind and name."""
        name = name or source.name
        self.remove_file(kind, name)
        with self.transaction() as db:
            new = "INSERT INTO files (kind, name, created) VALUES (?, ?, ?)"
            number = db.execute(new, (kind, name, time.time())).lastrowid
        size = 0
        with source.open("rb") as file:
            for place, data in enumerate(iter(lambda: file.read(CHUNK_BYTES), b"")):
                with self.transaction() as db:
                    db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (number, place, data))
                size += len(data)
        with self.transaction() as db:
            db.execute("UPDATE files SET size = ? WHERE id = ?", (size, number))

    def files(self, kind: FileKind) -> list[StoredFile]:
        """The stored files of a kind, in the order in which they came."""
        query = "SELECT name, size, created FROM files WHERE kind = ? AND size IS NOT NULL ORDER BY id"
        return [StoredFile(*row) for row in self.rows(query, kind)]

    def read_file(self, kind: FileKind, name: str) -> Iterator[bytes]:
        """The content of a stored file in pieces; nothing if there is no such file."""
        query = "SELECT id FROM files WHERE kind = ? AND name = ?"
        for (number,) in self.rows(query, kind, name):
            for (place,) in self.rows("SELECT number FROM chunks WHERE file = ? ORDER BY number", number):
                yield self._blob("SELECT data FROM chunks WHERE file = ? AND number = ?", number, place)

    def remove_file(self, kind: FileKind, name: str) -> None:
        """Remove a stored file, if it is there; its space is used again."""
        where = "kind = ? AND name = ?"
        with self.transaction() as db:
            inside = f"DELETE FROM chunks WHERE file IN (SELECT id FROM files WHERE {where})"
            db.execute(inside, (kind, name))
            db.execute(f"DELETE FROM files WHERE {where}", (kind, name))

    def save_copy(self, path: Path) -> None:
        """Write a complete and compact copy, which must not exist yet; work can go on afterwards."""
        with self._lock, self._explained():
            self._db.execute("VACUUM INTO ?", (str(path),))


@contextmanager
def new_project_file(path: Path) -> Iterator[ProjectFile]:
    """A new project file, which is at `path` when the block ends, and nowhere if it fails or is killed.

    Raises:
        OutputError: It cannot be written.
    """
    # A name that `tinct.io.atomic.sweep` knows; SQLite opens no file that `mkstemp` made.
    part = path.with_name(f".{path.stem}.{process_tag()}-{secrets.token_hex(4)}.part{SUFFIX}")
    file = ProjectFile(part, create=True)
    try:
        yield file
        file.close()
        part.rename(path)
        fsync_path(path.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}. Free some space.") from error
    finally:
        file.close()
        for suffix in ("", "-wal"):
            Path(f"{part}{suffix}").unlink(missing_ok=True)


def _schema_of(db: sqlite3.Connection) -> list[Any]:
    return db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def _expected_schema() -> list[Any]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        return _schema_of(db)


_SCHEMA = _expected_schema()
