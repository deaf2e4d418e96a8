"""`run.jsonl`: what a run in progress adds to its record, line by line; gone once `run.json` has it all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinct.errors import OutputError
from tinct.io.atomic import atomic_write
from tinct.io.json_files import parse_json
from tinct.io.regular_files import read_regular

JOURNAL_NAME = "run.jsonl"


class RunJournal:
    """JSON objects in a file that is only ever appended to, so that each costs its own length.

    Args:
        path: `run.jsonl` in the run folder.
        fingerprint: Of the run, which the first line names; entries of another run are not read.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self._head = path, {"run": fingerprint}

    def read(self) -> list[dict[str, Any]]:
        """The entries that are whole; none if there is no file, or it is another run's."""
        try:
            lines = read_regular(self.path).split(b"\n")
        except OSError:
            return []
        found: list[dict[str, Any]] = []
        for line in lines:
            # One that a kill or a full disk has torn.
            with suppress(ValueError, RecursionError):
                if isinstance(entry := parse_json(line), dict):
                    found.append(entry)
        return found[1:] if found[:1] == [self._head] else []

    def begin(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write the file again, with these entries.

        Raises:
            OutputError: It cannot be written.
        """
        with atomic_write(self.path) as part:
            part.write_bytes(_lines([self._head, *entries]))

    def append(self, entries: Iterable[Mapping[str, Any]]) -> int:
        """Add entries; the number of bytes that they took.

        Raises:
            OutputError: They cannot be written; adding them again later does no harm.
        """
        content = _lines(entries)
        try:
            with self.path.open("ab") as stream:
                stream.write(content)
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror or error}. Free some space or choose "
                "another folder."
            ) from error
        return len(content)

    def remove(self) -> None:
        """Delete the file, if that is possible; it does no harm."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _lines(entries: Iterable[Mapping[str, Any]]) -> bytes:
    """A line break before each, so that a torn line spoils no other."""
    return b"".join(f"\n{json.dumps(entry)}".encode() for entry in entries)
