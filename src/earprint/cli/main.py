"""The command ``earprint``: its verbs, and how it ends.

Each verb lives in a module of its own and imports what it needs only when it runs, so that
``earprint --help`` needs neither numpy nor a model. Exit codes: 0 fine, 1 no match, 2 error, 130
interrupted. A reader of the output that has seen enough (``| head -1``) ends a command with 0.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from earprint import __version__
from earprint.cli import messages, output, upkeep_messages
from earprint.cli.add import add
from earprint.cli.catalogue import info, list_tracks, remove
from earprint.cli.data import HELP as DATA_HELP
from earprint.cli.data import data
from earprint.cli.demo import demo
from earprint.cli.evaluate import HELP as EVALUATE_HELP
from earprint.cli.evaluate import evaluate
from earprint.cli.identify import identify
from earprint.cli.model import model_app
from earprint.cli.options import LIBRARY_VARIABLE
from earprint.cli.train import HELP as TRAIN_HELP
from earprint.cli.train import train_app
from earprint.cli.transfer import export, import_file, merge
from earprint.cli.upkeep import compact, rebuild, repair, verify
from earprint.errors import EarprintError


class _Commands(TyperGroup):
    """The verbs, with one way for errors to end a command: a line on stderr and an exit code."""

    def make_context(self, *args: Any, **options: Any) -> Any:  # shows --help and --version
        with _errors_as_lines():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _errors_as_lines():
            return super().invoke(ctx)


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    """Turn errors into a line on stderr and an exit code."""
    try:
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
            raise  # files are the library's to report; only streams have no name
        _discard(sys.stdout)
        _end(messages.error(messages.unwritable(error.strerror or str(error))), 2, error)


def _end(line: str, code: int, cause: BaseException) -> NoReturn:
    try:
        typer.echo(line, err=True)
    except OSError:
        _discard(sys.stderr)
    raise typer.Exit(code) from cause


def _discard(stream: TextIO) -> None:
    """Send nowhere what a stream still holds, which Python would fail to write at its end."""
    with suppress(OSError, ValueError, AttributeError):  # no file, closed, or not there at all
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
    """Take the options that stand before the verb; `library_path` reads them from the context."""


app.command("add", help=messages.ADD_HELP)(add)
app.command("identify", help=messages.IDENTIFY_HELP)(identify)
app.command("list", help=messages.LIST_HELP)(list_tracks)
app.command("remove", help=messages.REMOVE_HELP)(remove)
app.command("info", help=messages.INFO_HELP)(info)
app.command("compact", help=upkeep_messages.COMPACT_HELP)(compact)
app.command("verify", help=upkeep_messages.VERIFY_HELP)(verify)
app.command("repair", help=upkeep_messages.REPAIR_HELP)(repair)
app.command("rebuild", help=upkeep_messages.REBUILD_HELP)(rebuild)
app.command("export", help=upkeep_messages.EXPORT_HELP)(export)
app.command("import", help=upkeep_messages.IMPORT_HELP)(import_file)
app.command("merge", help=upkeep_messages.MERGE_HELP)(merge)
app.command("demo", help=messages.DEMO_HELP)(demo)
app.add_typer(model_app, name="model", help=messages.MODEL_HELP)
app.command("evaluate", help=EVALUATE_HELP)(evaluate)
app.add_typer(train_app, name="train", help=TRAIN_HELP)
app.command("data", help=DATA_HELP)(data)


def run() -> None:
    """Run the command line and end the process."""
    for stream in (sys.stdout, sys.stderr):
        # A title or path that the terminal's encoding lacks must not end a command half-way.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="earprint")


if __name__ == "__main__":
    run()
