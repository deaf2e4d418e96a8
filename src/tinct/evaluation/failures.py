"""Many failures as one error."""

from __future__ import annotations

from collections.abc import Mapping

from tinct.errors import TinctError

FAILURES_SHOWN = 5
"""Of more failures only the names are given."""


def one_error(failures: Mapping[str, Exception], heading: str, ending: str = "") -> Exception:
    """One error for all tasks that failed, of their common class.

    Args:
        failures: Per task's name, what it raised.
        heading: What to say first, if there are several.
        ending: What to say last.
    """
    kinds = {type(error) for error in failures.values()}
    kind = kinds.pop() if len(kinds) == 1 else TinctError
    reasons = [f"  {name}: {_reason(error)}" for name, error in list(failures.items())[:FAILURES_SHOWN]]
    if len(failures) > FAILURES_SHOWN:
        more = list(failures)[FAILURES_SHOWN:]
        reasons.append(f"  and {len(more)} more: {', '.join(more)}")
    text = "\n".join(filter(None, [heading, *reasons, ending]))
    error = (kind if issubclass(kind, TinctError) else TinctError)(text)
    error.__cause__ = next(iter(failures.values()))
    return error


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TinctError) else f"{type(error).__name__}: {error}"
