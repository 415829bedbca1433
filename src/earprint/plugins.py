"""Objects that other installed packages provide through entry points.

A package declares them in its ``pyproject.toml``::

    [project.entry-points."earprint.models"]
    mine = "my_package:MODEL_PATH"

An entry point is imported only when its name is asked for, so a broken one does not affect the others.
"""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from earprint.errors import EarprintError

MODELS: Final = "earprint.models"
"""Group of models: name to the path of an ONNX file, or to a callable that returns a path or an `Encoder`."""

INDEXES: Final = "earprint.indexes"
"""Group of indexes: name to a callable that takes `earprint.index.Rows` and returns an `Index`."""


def plugin_names(group: str) -> list[str]:
    """Return the names of a group, sorted; nothing is imported."""
    return sorted({point.name for point in entry_points(group=group)})


def load_plugin(group: str, name: str, error_type: "type[EarprintError]") -> object | None:
    """Import the object of a name; None if no package provides it.

    Parameters
    ----------
    group : str
        `MODELS` or `INDEXES`.
    name : str
    error_type : type
        Type of the error that is raised.

    Raises
    ------
    EarprintError
        Of type `error_type`, if the import fails.
    """
    for point in entry_points(group=group, name=name):
        try:
            found: object = point.load()
        except Exception as error:
            raise error_type(f"{name}: {broken_plugin(group, name, error)}") from error
        return found
    return None


def broken_plugin(group: str, name: str, error: object) -> str:
    """Return the part of a message that says which package is at fault, why, and what to do."""
    point = next(iter(entry_points(group=group, name=name)))
    package = point.dist.name if point.dist is not None else "another package"
    return f"entry point {point.value} of {package} failed ({error}); reinstall or remove {package}"
