"""What torch, OpenCV and the allocators raise, as a line for people."""

from __future__ import annotations

_NO_MEMORY = ("out of memory", "allocate memory", "insufficient memory", "alloc_cpu")


def explained(error: Exception) -> str:
    """What failed, and what to try."""
    text = one_line(error)
    no_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if no_memory or any(words in text.lower() for words in _NO_MEMORY):
        return f"Memory ran out: {text}. Close other programs, or take smaller frames or the preset fast"
    return f"The computation failed: {text}. If it does so again, try --device cpu"


def one_line(error: BaseException) -> str:
    """The class of an error and the first line of its text; torch appends its own stack to some."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
