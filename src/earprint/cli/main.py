"""The command line: the table of its verbs, and how errors end it. `earprint.__main__` runs it.

Each verb is a function or a Typer app in a module of its own. The module is imported when the verb is used,
so that ``earprint --help`` is fast. docs/how-to/add-a-cli-verb.md shows how to add one.

Exit codes: 0 success, 1 no match, 2 error, 130 interrupted. If the reader of the output closes it early, as
``| head -1`` does, the command ends with 0.
"""

import _thread
import os
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Annotated, Any, Final, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from earprint import __version__
from earprint.cli import messages, output
from earprint.cli.options import LIBRARY_VARIABLE
from earprint.errors import EarprintError


@dataclass(frozen=True)
class Verb:
    """Where a verb and its help text are, as ``module:name`` within `earprint.cli`.

    The verb is a function with Typer's annotations, or a `typer.Typer` of several commands.
    """

    command: str
    help: str


VERBS: Final = {
    "add": Verb("add:add", "messages:ADD_HELP"),
    "identify": Verb("identify:identify", "messages:IDENTIFY_HELP"),
    "list": Verb("tracks:list_tracks", "messages:LIST_HELP"),
    "remove": Verb("tracks:remove", "messages:REMOVE_HELP"),
    "info": Verb("tracks:info", "messages:INFO_HELP"),
    "demo": Verb("demo:demo", "messages:DEMO_HELP"),
    "compact": Verb("maintenance:compact", "maintenance_messages:COMPACT_HELP"),
    "verify": Verb("maintenance:verify", "maintenance_messages:VERIFY_HELP"),
    "repair": Verb("maintenance:repair", "maintenance_messages:REPAIR_HELP"),
    "rebuild": Verb("maintenance:rebuild", "maintenance_messages:REBUILD_HELP"),
    "export": Verb("transfer:export", "maintenance_messages:EXPORT_HELP"),
    "import": Verb("transfer:import_file", "maintenance_messages:IMPORT_HELP"),
    "merge": Verb("transfer:merge", "maintenance_messages:MERGE_HELP"),
    "model": Verb("model:model_app", "messages:MODEL_HELP"),
    "evaluate": Verb("evaluate:evaluate", "evaluate:HELP"),
    "train": Verb("train:train_app", "train:HELP"),
    "data": Verb("data:data", "data:HELP"),
}
"""All verbs. `earprint.cli.messages.SUMMARIES` has a line for each, in the order of ``earprint --help``."""


class _LazyCommands(MutableMapping[str, Any]):
    """Commands by name, imported when they are looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, VERBS[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return (name for section in messages.SUMMARIES.values() for name in section)

    def __len__(self) -> int:
        return len(VERBS)


def _load(name: str, verb: Verb) -> Any:
    """Import a verb and make Typer's command of it."""
    command, text = resolve_name(f"earprint.cli.{verb.command}"), resolve_name(f"earprint.cli.{verb.help}")
    parent = typer.Typer(rich_markup_mode=None)
    parent.callback()(lambda: None)  # makes Typer build a group, even of one command
    if isinstance(command, typer.Typer):
        parent.add_typer(command, name=name, help=text)
    else:
        parent.command(name, help=text)(command)
    group: Any = typer.main.get_command(parent)
    return group.commands[name]


class _Commands(TyperGroup):
    """The verbs. Errors end a command with one line on stderr and an exit code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, summaries in messages.SUMMARIES.items():
            with formatter.section(title):
                formatter.write_dl(list(summaries.items()))

    def make_context(self, *args: Any, **options: Any) -> Any:  # shows --help and --version
        with _errors_as_lines():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _errors_as_lines():
            return super().invoke(ctx)


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    """Print errors as one line on stderr, and end with an exit code."""
    try:
        with _interrupts_unchanged():
            yield
    except EarprintError as error:
        _end(messages.error(output.one_line(error)), 2, error)
    except KeyboardInterrupt as interrupt:
        _end(messages.INTERRUPTED, 130, interrupt)
    except BrokenPipeError as error:
        _discard(sys.stdout)
        _discard(sys.stderr)
        raise typer.Exit(0) from error
    except OSError as error:
        if error.filename is not None:
            raise  # only streams have no name; errors of files are not expected here
        _discard(sys.stdout)
        _end(messages.error(messages.unwritable(error.strerror or str(error))), 2, error)


@contextmanager
def _interrupts_unchanged() -> Iterator[None]:
    """Raise KeyboardInterrupt in place of an error that it caused, such as a failed import."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KeyboardInterrupt):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        raise


def repeat_ignored_interrupt(unraisable: Any) -> None:
    """Raise KeyboardInterrupt again where Python ignored it, as in a callback; a `sys.unraisablehook`."""
    if unraisable.exc_type is KeyboardInterrupt:
        threading.Timer(0.01, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def _end(line: str, code: int, cause: BaseException) -> NoReturn:
    try:
        typer.echo(line, err=True)
    except OSError:
        _discard(sys.stderr)
    raise typer.Exit(code) from cause


def _discard(stream: TextIO) -> None:
    """Discard what a stream still holds, as Python would fail to write it at exit."""
    with suppress(OSError, ValueError, AttributeError):  # not a file, closed, or None
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


app = typer.Typer(
    name="earprint",
    cls=_Commands,
    help=messages.APP_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"earprint {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    library: Annotated[
        str | None,
        typer.Option(
            "--library",
            metavar="DIR",
            envvar=LIBRARY_VARIABLE,
            show_envvar=False,
            help=messages.LIBRARY_OPTION,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help=messages.VERSION_OPTION),
    ] = False,
) -> None:
    """Read the options before the verb; `library_path` takes them from the context."""
