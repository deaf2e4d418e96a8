"""JSON from anywhere: whatever is wrong with it becomes one error that names the file and the place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tinct.errors import TinctError
from tinct.io.regular_files import read_regular


@contextmanager
def reading(name: str | Path, what: str, fix: str, error: type[TinctError] = TinctError) -> Iterator[None]:
    """Within this block, content that is not as expected is raised as `error`, with the reason.

    Args:
        name: The file, for the message.
        what: What it should be, such as "a model card".
        fix: What to do about it, a sentence.
        error: Its class.

    Raises:
        TinctError: Of the class `error`, for what readers of foreign content run into: missing keys, other
            types, numbers out of range, too deep nesting, a file that cannot be read. A TinctError that the
            block raises passes as it is.
    """
    try:
        yield
    except TinctError:
        raise
    except KeyError as reason:
        raise error(f"{name} cannot be read as {what}: it lacks {reason}. {fix}") from reason
    except OSError as reason:
        raise error(f"{name} cannot be read: {reason.strerror or reason}. {fix}") from reason
    except RecursionError as reason:
        raise error(f"{name} cannot be read as {what}: its lists are nested too deeply. {fix}") from reason
    except (ValueError, TypeError, AttributeError, IndexError, ArithmeticError) as reason:
        raise error(f"{name} cannot be read as {what}: {reason}. {fix}") from reason


def read_json(path: Path, what: str, fix: str, error: type[TinctError] = TinctError) -> Any:
    """The value in a JSON file of UTF-8; every number in it is finite.

    Args:
        path: The file.
        what: What it should be, for the message.
        fix: What to do if it is not, a sentence.
        error: The class of the error.

    Raises:
        TinctError: Of the class `error`: no such file, or it is not JSON.
    """
    with reading(path, what, fix, error):
        return parse_json(read_regular(path))


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text; every number in it is finite.

    Raises:
        ValueError: It is not JSON or not UTF-8, or holds NaN, an infinity, or an integer of thousands of
            digits.
        RecursionError: It is nested too deeply.
    """
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    return json.loads(text, parse_constant=_refuse_number, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf"):
        _refuse_number(text)
    return number


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"the number {text} is not finite")
