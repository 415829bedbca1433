"""Options that several commands share, and which library they mean.

``--library`` may stand before or after the verb; the one after it wins, then the one before it,
then EARPRINT_LIBRARY, then a folder of the user's own where the platform keeps data.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earprint.cli import messages
from earprint.errors import LibraryError

if TYPE_CHECKING:
    from earprint.library import FilesInProcesses
    from earprint.quantization.storage import StorageName

LIBRARY_VARIABLE = "EARPRINT_LIBRARY"
"""Environment variable that names the library's folder."""

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


class IndexChoice(StrEnum):
    """How a library is searched."""

    auto = "auto"
    exact = "exact"
    lsh = "lsh"
    inverted = "inverted"


StorageOption = Annotated[
    StorageChoice | None, typer.Option("--storage", help=messages.STORAGE_OPTION, show_default=False)
]
JobsOption = Annotated[int, typer.Option("--jobs", metavar="N", min=0, help=messages.JOBS_OPTION)]
IndexOption = Annotated[IndexChoice, typer.Option("--index", help=messages.INDEX_OPTION)]


def storage_name(choice: StorageChoice | None) -> "StorageName | None":
    """Give the library's name of a choice."""
    return None if choice is None else choice.value


class Method(StrEnum):
    """How sequences of fingerprints are compared."""

    aligned = "aligned"
    paper = "paper"


def one_thread_for_numpy() -> None:
    """Have NumPy compute in one thread, unless the environment says otherwise; call before it is imported.

    OpenBLAS's threads wait busily for some 30 ms after each product, and take the cores from whatever works
    in threads of its own: the index's search, and the files that are fingerprinted at the same time.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def processes_for(model: str, jobs: int) -> "FilesInProcesses":
    """Give what fingerprints files in processes: in so many from the beginning, or once a run is long."""
    from earprint.library import FilesInProcesses

    return FilesInProcesses(model, jobs, after_s=0.0) if jobs else FilesInProcesses(model)


def library_path(ctx: typer.Context, after_verb: str | None) -> Path:
    """Give the folder of the library that the command line means."""
    before_verb: str | None = ctx.find_root().params.get("library")
    chosen = before_verb if after_verb is None else after_verb
    if chosen == "":
        raise LibraryError(messages.EMPTY_LIBRARY_PATH)
    if chosen is not None:
        return Path(chosen).expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("earprint", appauthor=False)) / "library"
