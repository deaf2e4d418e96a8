"""States of a run by their places in it, so that a later run need not begin at the first frame.

A state is cached under its place (how many frames of the run it has seen) and under a fingerprint of all that
it knows. Whoever asks for one says which fingerprint would be true now; a state that knows another prompt is
never handed out. Beyond a number of bytes the places are thinned evenly.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinct.errors import OutputError, TinctError
from tinct.inference.state_files import load_state, save_state

IN_MEMORY_BYTES = 256 * 2**20
"""What a session's states of one direction may take in memory."""

ON_DISK_BYTES = 2**30
"""What they may take in its folder, those of all segmenters together."""

MIN_STATES = 2
"""The number of states that stay however large they are."""

Fingerprint = Callable[[int], str]
"""The place of a state → the fingerprint that it has if it is true."""


@dataclasses.dataclass(frozen=True, order=True)
class Place:
    """Where a state stands.

    Attributes:
        done: Frames of the run that it has seen, and so the place in the run of the frame to come.
        fingerprint: Of all that it knows: hexadecimal digits.
    """

    done: int
    fingerprint: str


class StateCache(ABC):
    """States by their places, thinned to a number of bytes.

    Args:
        max_bytes: What they may take; `MIN_STATES` of them stay in any case.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes

    @abstractmethod
    def places(self) -> list[Place]:
        """Of all cached states, in the order in which they came."""

    @abstractmethod
    def _put(self, place: Place, state: Any) -> None: ...

    @abstractmethod
    def _get(self, place: Place) -> Any:
        """The state; None if it cannot be had any more."""

    @abstractmethod
    def _drop(self, place: Place) -> None: ...

    @abstractmethod
    def _used_bytes(self) -> int: ...

    def add(self, done: int, state: Any, fingerprint: Fingerprint, protected: Collection[int] = ()) -> None:
        """Cache a state, and thin out the others if they take too many bytes.

        Those that are not true any more go first, the oldest before the newer; then the one that leaves
        the smallest gap, but neither the newest nor one at a `protected` place while there are others.
        """
        place = Place(done, fingerprint(done))
        if place in self.places():
            return
        self._put(place, state)
        while self._used_bytes() > self.max_bytes and len(self.places()) > MIN_STATES:
            self._drop(self._to_drop(place, fingerprint, protected))

    def nearest(self, done: int, fingerprint: Fingerprint) -> tuple[int, Any] | None:
        """(place, state) of the last true state that has seen at most `done` frames; None without one."""
        for place in sorted(self.places(), reverse=True):
            if place.done <= done and place.fingerprint == fingerprint(place.done):
                state = self._get(place)
                if state is not None:
                    return place.done, state
        return None

    def _to_drop(self, newest: Place, fingerprint: Fingerprint, protected: Collection[int]) -> Place:
        places = [place for place in self.places() if place != newest]
        untrue = [place for place in places if place.fingerprint != fingerprint(place.done)]
        if untrue:
            return untrue[0]
        common = [place for place in places if place.done not in protected] or places
        standing = [0, *sorted({place.done for place in (*places, newest)})]

        def gap(place: Place) -> int:
            at = standing.index(place.done, 1)
            return standing[min(at + 1, len(standing) - 1)] - standing[at - 1]

        return min(common, key=gap)


class MemoryStateCache(StateCache):
    """States as they are: they are never edited, and share what they have in common."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._states: dict[Place, Any] = {}

    def places(self) -> list[Place]:
        """Of all cached states, in the order in which they came."""
        return list(self._states)

    def _put(self, place: Place, state: Any) -> None:
        self._states[place] = state

    def _get(self, place: Place) -> Any:
        return self._states[place]

    def _drop(self, place: Place) -> None:
        del self._states[place]

    def _used_bytes(self) -> int:
        # What several states share, such as tuned layers and references, is there once.
        found = {of: count for state in self._states.values() for of, count in _memory_of(state)}
        return sum(found.values())


class DiskStateCache(StateCache):
    """States in files, which outlive the process.

    Args:
        folder: Theirs alone; it is made with the first one.
        state_class: What they are made of.
        device: Where they go when they are read.
        max_bytes: What the files may take.
    """

    def __init__(self, folder: Path, state_class: type, device: str, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.folder, self.state_class, self.device = folder, state_class, device
        self._sizes: dict[Place, int] = {}
        if folder.is_dir():
            for left in folder.glob(".*.part.safetensors"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
            for path in sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime):
                name = re.fullmatch(r"(\d+)-([0-9a-f]+)", path.stem)
                if name:
                    self._sizes[Place(int(name[1]), name[2])] = path.stat().st_size

    def places(self) -> list[Place]:
        """Of all cached states, in the order in which they came."""
        return list(self._sizes)

    def path(self, place: Place) -> Path:
        """Where a state lies."""
        return self.folder / f"{place.done:06d}-{place.fingerprint}.safetensors"

    def _put(self, place: Place, state: Any) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_state(self.path(place), state)
            self._sizes[place] = self.path(place).stat().st_size
        except (OutputError, OSError):
            # A state that is not there costs time only. The masks matter, and who writes them will tell
            # of a full disk.
            self._sizes.pop(place, None)

    def _get(self, place: Place) -> Any:
        try:
            return load_state(self.path(place), self.state_class, self.device)
        except TinctError:
            self._drop(place)
            return None

    def _drop(self, place: Place) -> None:
        self.path(place).unlink(missing_ok=True)
        self._sizes.pop(place, None)

    def _used_bytes(self) -> int:
        return sum(self._sizes.values())


def _memory_of(value: Any) -> Iterator[tuple[int, int]]:
    """(where, bytes) of every tensor and array inside a state."""
    if hasattr(value, "untyped_storage"):  # a torch tensor
        yield value.untyped_storage().data_ptr(), value.untyped_storage().nbytes()
    elif isinstance(value, np.ndarray):
        yield value.__array_interface__["data"][0], value.nbytes
    elif isinstance(value, tuple):
        for item in value:
            yield from _memory_of(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _memory_of(getattr(value, field.name))
