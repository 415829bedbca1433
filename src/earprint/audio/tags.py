"""Read title, artist and album from a file's tags."""

import os
from dataclasses import dataclass

from tinytag import TinyTag


@dataclass(frozen=True)
class Tags:
    """Tags of a file; None where a tag is absent."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None


def read_tags(path: str | os.PathLike[str]) -> Tags:
    """Read a file's tags.

    Tags are optional: an unreadable tag or file gives None and no error.

    Parameters
    ----------
    path : path
        An audio file. Formats that tinytag does not know give no tags.

    Returns
    -------
    Tags
        Without surrounding space, control characters and line breaks.
    """
    try:
        tag = TinyTag.get(os.fspath(path))
    except Exception:  # a damaged file may raise any error in the parser
        return Tags()
    return Tags(_clean(tag.title), _clean(tag.artist), _clean(tag.album))


def _clean(text: object) -> str | None:
    if not isinstance(text, str):
        return None
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()) or None
