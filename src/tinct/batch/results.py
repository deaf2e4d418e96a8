"""The table of a batch, which pandas and DuckDB read: a row per video, in Parquet."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinct.batch.secrets import redacted
from tinct.batch.stores import joined, local_path, put_file
from tinct.errors import OutputError, TinctError, WorkerError
from tinct.io.atomic import atomic_write
from tinct.io.optional import import_optional

TABLE_NAME = "results.parquet"

_TYPES = {
    "name": "string",
    "video": "string",
    "status": "string",
    "error": "string",
    "frames": "int64",
    "width": "int32",
    "height": "int32",
    "objects": "int32",
    "seconds": "float64",
    "seconds_per_frame": "float64",
    "peak_memory_mb": "float64",
    "confidence": "float64",
    "mean_confidence": "float64",
    "worst_frame": "int64",
    "method": "string",
    "where": "string",
    "host": "string",
    "skipped": "bool",
}
"""The columns. status: complete, failed (its error says why), or set aside (it ended its processes)."""

_ROWS_AT_ONCE = 1000


def columns() -> tuple[str, ...]:
    """The names of the columns, in order."""
    return tuple(_TYPES)


def failed(name: str, video: str, error: Exception) -> dict[str, Any]:
    """The row of a video that has no output; its error is one line, without credentials."""
    kind = "" if isinstance(error, TinctError) else f"{type(error).__name__}: "
    text = f"{kind}{error}".strip() or type(error).__name__
    line = " ".join(redacted(text).split())
    status = "set aside" if isinstance(error, WorkerError) else "failed"
    empty = dict.fromkeys(_TYPES)
    return empty | {
        "name": name,
        "video": redacted(video),
        "status": status,
        "error": line[:1000],
        "skipped": False,
    }


class ResultLog:
    """The rows so far, on this machine's disk: the driver's memory does not grow with them."""

    def __init__(self) -> None:
        # Without a name: nothing to clean up, whatever ends the process.
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - `__exit__` closes it

    def __enter__(self) -> ResultLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row.

        Raises:
            OutputError: The disk is full.
        """
        try:
            self._file.write(json.dumps({key: row.get(key) for key in _TYPES}) + "\n")
        except OSError as error:
            raise OutputError(f"The results cannot be written: {error.strerror or error}.") from error

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, in the order in which they came."""
        self._file.flush()
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)
        self._file.seek(0, 2)

    def write_table(self, out: str) -> str:
        """Write the table into a batch's folder; where it is.

        Raises:
            OutputError: It cannot be written.
        """
        return write_output(out, TABLE_NAME, self._write_parquet)

    def _write_parquet(self, path: Path) -> None:
        arrow = import_optional("pyarrow", "batch", "The table of a batch")
        parquet = import_optional("pyarrow.parquet", "batch", "The table of a batch")
        kinds = {"string": arrow.string(), "float64": arrow.float64(), "bool": arrow.bool_()}
        kinds |= {"int64": arrow.int64(), "int32": arrow.int32()}
        schema = arrow.schema([(name, kinds[kind]) for name, kind in _TYPES.items()])
        with parquet.ParquetWriter(path, schema) as writer:
            batch: list[dict[str, Any]] = []
            for row in self.rows():
                batch.append(row)
                if len(batch) == _ROWS_AT_ONCE:
                    writer.write_table(arrow.Table.from_pylist(batch, schema=schema))
                    batch.clear()
            writer.write_table(arrow.Table.from_pylist(batch, schema=schema))


def write_output(out: str, name: str, write: Any) -> str:
    """Write a file into a batch's folder, wherever that is, whole or not at all; where it is.

    Args:
        out: The folder.
        name: Of the file.
        write: Called with a path of this machine, to write to.

    Raises:
        OutputError: It cannot be written.
    """
    url, folder = joined(out, name), local_path(out)
    if folder is not None:
        with atomic_write(folder / name) as part:
            write(part)
        return str(folder / name)
    with tempfile.TemporaryDirectory() as place:
        write(Path(place) / name)
        put_file(Path(place) / name, url)
    return url
