"""Damage every kind of file that tinct reads, at random, and look for what no reader may do.

    python benchmarks/fuzz.py --files 10000 --seconds 600

A reader may give a value or raise a TinctError. It may not raise anything else, hang, take two gigabytes, or,
where a file bears a checksum, give another value than the one that was written. The seed of every fault is
printed: with `--kind KIND --seed N --files 1` it is made again.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_kinds import FILE_KINDS, FileKind
from fuzz_work import WORK_KINDS

KINDS = {**FILE_KINDS, **WORK_KINDS}

LONGEST_S = 20.0
"""A reader that takes longer for a small file hangs."""

MOST_BYTES = 2**31
"""A reader that takes more memory for a small file is one that files can bring down. A picture of the most
pixels that are decoded takes 400 MB at 16 bits a channel, and is converted."""

HUGE = (
    "1",
    "2",
    "5",
    "1e999",
    "-1e999",
    "NaN",
    "1" + "0" * 400,
    "-1",
    "0",
    "1.5",
    '"x"',
    "null",
    "true",
    "[]",
    "{}",
    "[[[]]]",
)

HOSTILE_TEXTS = (
    "../../outside",
    "\0",
    "\ud800",
    "[" * 5000,
    "<a>" * 5000,
    "&lol;",
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
    "1;2",
    "999999999",
)


@dataclass
class Report:
    """What became of the damaged files.

    Attributes:
        read: A value came.
        refused: A TinctError came.
        faults: (kind, seed, what happened) of everything else.
    """

    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def files(self) -> int:
        """How many were tried."""
        return self.read.total() + self.refused.total() + len(self.faults)


def damage_bytes(data: bytes, draws: random.Random) -> bytes:
    """Flip, cut, repeat, blank, insert or exchange a few of a file's bytes."""
    content = bytearray(data)
    for _ in range(draws.choice((1, 1, 1, 2, 4))):
        # Most formats keep what matters in their first bytes.
        span = len(content) if draws.random() < 0.6 else min(len(content), 200)
        at = draws.randrange(max(1, span))
        length = min(draws.choice((1, 1, 2, 4, 16, 64)), len(content) - at)
        match draws.randrange(6):
            case 0:
                for offset in range(at, at + max(0, length)):
                    content[offset] ^= 1 << draws.randrange(8)
            case 1:
                del content[at:]
            case 2:
                content[at:at] = content[at : at + length] * draws.randint(1, 3)
            case 3:
                content[at : at + length] = bytes([draws.choice((0, 255))]) * length
            case 4:
                content[at:at] = draws.randbytes(length)
            case 5:
                content[at : at + length] = draws.randbytes(length)
    return bytes(content)


def damage_json(data: bytes, draws: random.Random) -> bytes:
    """Exchange, drop, nest or repeat one value of a JSON text, which stays JSON."""
    content = json.loads(data)
    spots = list(_spots(content))
    if not spots:
        return damage_bytes(data, draws)
    holder, key = draws.choice(spots)
    match draws.randrange(4):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]] * draws.choice((1, 2, 50))
        case 2:
            holder[key] = {"x": holder[key]}
        case 3:
            holder[key] = "EXCHANGED"
    text = json.dumps(content)
    if draws.random() < 0.05:
        return text.replace('"EXCHANGED"', "[" * 100_000).encode()
    return text.replace('"EXCHANGED"', draws.choice(HUGE)).encode()


def damage_text(data: bytes, draws: random.Random) -> bytes:
    """Exchange, drop or repeat one number, quoted value, element or line of a text."""
    pieces = list(re.finditer(rb'"[^"\n]*"|[\d.]+|<[^<>]*>|[^\n]*\n', data))
    if not pieces:
        return damage_bytes(data, draws)
    piece = draws.choice(pieces)
    hostile = draws.choice((*HUGE, *HOSTILE_TEXTS)).encode("utf-8", "surrogatepass")
    quoted = piece[0].startswith(b'"')
    new = (b"", piece[0] * draws.choice((2, 50)), b'"%b"' % hostile if quoted else hostile)[
        draws.randrange(3)
    ]
    return data[: piece.start()] + new + data[piece.end() :]


def _spots(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) of a JSON value."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield content, key
        if isinstance(value, (dict, list)):
            yield from _spots(value)


FORMS = {"bytes": damage_bytes, "json": damage_json, "text": damage_text}


class Hang(Exception):  # noqa: N818 - not an error of the reader's own
    """A reader did not come back."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the block if it takes longer."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no answer in {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def try_one(kind: FileKind, original: bytes, expected: Any, folder: Path, seed: int, report: Report) -> None:
    """Damage the file by one seed, read it, and note what happened."""
    from tinct.errors import TinctError

    draws = random.Random(f"{kind.name} {seed}")
    damage = FORMS[kind.form] if draws.random() < 0.6 else damage_bytes
    damaged = damage(original, draws)
    path = folder / kind.file
    path.write_bytes(damaged)
    before, refused, fault = peak_bytes(), False, ""
    try:
        with at_most(LONGEST_S):
            value = kind.read(path)
        if kind.has_checksum and damaged != original and value != expected:
            fault = "another value came, without a word"
    except TinctError:
        refused = True
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        fault = f"{type(error).__name__}: {error}"[:300]
    taken = peak_bytes() - before
    if taken > MOST_BYTES:
        fault = f"it took {taken / 2**30:.1f} GiB"
    if fault:
        report.faults.append((kind.name, seed, fault))
    else:
        (report.refused if refused else report.read)[kind.name] += 1


def fuzz(
    folder: Path,
    kinds: list[str],
    files: int,
    seconds: float,
    seed: int = 0,
    listener: Callable[[str], None] = lambda line: None,
) -> Report:
    """Damage files of each kind in turn, until there were `files` of them or the time is over.

    Args:
        folder: For the files.
        kinds: Names of `KINDS`.
        files: In all.
        seconds: At most.
        seed: Of the first round; the others count on from there.
        listener: Called with a line for each fault.
    """
    report, begun = Report(), time.monotonic()
    originals: dict[str, tuple[bytes, Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in kinds:
            (folder / name).mkdir()
            path = folder / name / KINDS[name].file
            KINDS[name].write(path)
            originals[name] = path.read_bytes(), KINDS[name].read(path)
        while report.files < files and time.monotonic() - begun < seconds:
            for name in kinds:
                before = len(report.faults)
                try_one(KINDS[name], *originals[name], folder / name, seed, report)
                for _, number, what in report.faults[before:]:
                    listener(f"{name} --seed {number}: {what}")
                if report.files >= files:
                    break
            seed += 1
    return report


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="how many files to damage")
    parser.add_argument("--seconds", type=float, default=300.0, help="at most")
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    return parser.parse_args()


def main() -> int:
    """Print the faults, then a table; 1 if there was a fault."""
    chosen = arguments()
    kinds = chosen.kind or list(KINDS)
    logging.disable()  # libraries say much of damaged files
    with tempfile.TemporaryDirectory() as folder:
        report = fuzz(Path(folder), kinds, chosen.files, chosen.seconds, chosen.seed, print)
    print(f"{'kind':<24}{'read':>8}{'refused':>9}{'faults':>8}")
    faults = Counter(name for name, _, _ in report.faults)
    for name in kinds:
        print(f"{name:<24}{report.read[name]:>8}{report.refused[name]:>9}{faults[name]:>8}")
    print(f"{report.files} files from seed {chosen.seed} on, {len(report.faults)} faults.")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
