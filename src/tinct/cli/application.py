"""The application that the verbs join, and the entry point that turns errors into messages."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, TextIO

import typer

from tinct._version import __version__
from tinct.errors import TinctError

# No rich help: plain help is drawn in a third of the time, and reads well everywhere.
app = typer.Typer(
    name="tinct",
    help="Paint one frame, and every frame of the video is coloured.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)


def _show_version(wanted: bool) -> bool:
    if wanted:
        print(f"tinct {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (or set TINCT_DEBUG=1).")
    ] = False,
) -> None:
    if debug:
        os.environ["TINCT_DEBUG"] = "1"


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings as a line for people; those of libraries as ever."""
    if category.__module__.partition(".")[0] == "tinct":
        print(f"tinct: warning: {message}", file=sys.stderr)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def main() -> None:
    """The entry point: runs a verb, and turns what went wrong into a message and an exit code.

    Exit codes: 0 done, 1 an error of tinct's own, 2 a command that cannot be understood, 128 + n
    signal n, such as 130 for Ctrl-C.
    """
    _write_any_text()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            # Pillow's warning of large images; tinct has a limit of its own, and says so itself.
            warnings.filterwarnings("ignore", "Image size .* exceeds limit")
            with _one_verb(sys.argv[1:]):
                app()
    except TinctError as error:
        if os.environ.get("TINCT_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        say(f"error: {error}")
        sys.exit(1)
    except OSError as error:
        from tinct.io.regular_files import unreadable

        if os.environ.get("TINCT_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        say(f"error: {unreadable(error)}")
        sys.exit(1)
    except MemoryError as error:
        say(f"error: Memory ran out ({error}). Close other programs, or take smaller frames.")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted.")
        sys.exit(130)


@contextmanager
def _one_verb(arguments: Sequence[str]) -> Iterator[None]:
    """Within this block the application has only the verb that is called: to build all takes 0.1 s.

    Anything but the name of a verb as the first argument leaves it as it is.
    """
    commands, groups = app.registered_commands, app.registered_groups
    verb = arguments[0] if arguments else ""
    one = [each for each in commands if (each.name or getattr(each.callback, "__name__", "")) == verb]
    few = [each for each in groups if each.name == verb]
    if one or few:
        app.registered_commands, app.registered_groups = one, few
    try:
        yield
    finally:
        app.registered_commands, app.registered_groups = commands, groups


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this block Ctrl-C, SIGTERM and SIGHUP end the command with a message and exit code 128 + n."""
    from tinct.runs.termination import signal_number_of, terminations

    with terminations():
        try:
            yield
        except KeyboardInterrupt as interruption:
            say(str(interruption) or "interrupted.")
            raise typer.Exit(128 + signal_number_of(interruption)) from None


def say(message: str) -> None:
    """A line on stderr; nothing where that is gone, as the terminal is after SIGHUP."""
    with suppress(OSError):
        print(f"tinct: {message}", file=sys.stderr, flush=True)


def _write_any_text() -> None:
    """Let no letter that the terminal lacks, and no file name that is no text, end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
