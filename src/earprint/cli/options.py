"""Options that several verbs share, and the choice of the library.

``--library`` may stand before or after the verb. The order of precedence is: after the verb, before the verb,
EARPRINT_LIBRARY, a folder in the user's data folder.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages, output
from earprint.errors import LibraryError

if TYPE_CHECKING:
    from earprint.quantization.storage import StorageName

LIBRARY_VARIABLE = "EARPRINT_LIBRARY"
"""Environment variable with the library's folder."""

LibraryOption = Annotated[
    str | None,
    typer.Option("--library", metavar="DIR", help=messages.LIBRARY_OPTION, show_default=False),
]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", envvar="EARPRINT_MODEL", help=messages.MODEL_OPTION)
]
JsonOption = Annotated[bool, typer.Option("--json", help=messages.JSON_OPTION)]


class StorageChoice(StrEnum):
    """How a library stores its fingerprints."""

    half = "half"
    compact = "compact"


class Method(StrEnum):
    """How sequences of fingerprints are compared."""

    aligned = "aligned"
    paper = "paper"


StorageOption = Annotated[
    StorageChoice | None, typer.Option("--storage", help=messages.STORAGE_OPTION, show_default=False)
]
JobsOption = Annotated[int, typer.Option("--jobs", metavar="N", min=0, help=messages.JOBS_OPTION)]
INDEX_METAVAR = "<auto|exact|inverted|lsh|NAME>"

IndexOption = Annotated[str, typer.Option("--index", metavar=INDEX_METAVAR, help=messages.INDEX_OPTION)]


def storage_name(choice: StorageChoice | None) -> "StorageName | None":
    """Return the library's name of a storage choice."""
    return None if choice is None else choice.value


def check_index(name: str) -> str:
    """Return the name of an index if one of this name is installed; it may belong to another package.

    It imports NumPy, so call `one_thread_for_numpy` before.
    """
    from earprint.index import index_names

    names = index_names()
    if name not in names:
        raise typer.BadParameter(messages.unknown_index(name, names), param_hint="'--index'")
    return name


def one_thread_for_numpy() -> None:
    """Let NumPy compute in one thread, unless the environment sets another number; call before its import.

    Threads of OpenBLAS wait busily for about 30 ms after each product. Meanwhile they take the cores from the
    index search and from the files that are fingerprinted at the same time.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def print_waiting(line: str) -> None:
    """Print which process a change waits for."""
    typer.echo(output.one_line(messages.waiting(line)), err=True)


def library_path(ctx: typer.Context, after_verb: str | None) -> Path:
    """Return the folder of the library, from the options, the environment or the default."""
    before_verb: str | None = ctx.find_root().params.get("library")
    chosen = before_verb if after_verb is None else after_verb
    if chosen == "":
        raise LibraryError(messages.EMPTY_LIBRARY_PATH)
    if chosen is not None:
        return Path(chosen).expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("earprint", appauthor=False)) / "library"
