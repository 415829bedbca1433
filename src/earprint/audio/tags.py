"""Title, artist and album out of a file's tags."""

import os
from dataclasses import dataclass

from tinytag import TinyTag


@dataclass(frozen=True)
class Tags:
    """What a file says about itself; None where it says nothing."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None


def read_tags(path: str | os.PathLike[str]) -> Tags:
    """Read a file's tags.

    Tags are decoration: whatever is wrong with them or with the file, the answer is only emptier.

    Parameters
    ----------
    path : path
        An audio file; formats without tags known to tinytag give none.

    Returns
    -------
    Tags
        Texts are stripped of surrounding space, control characters and line breaks.
    """
    try:
        tag = TinyTag.get(os.fspath(path))
    except Exception:  # a damaged file may break the parser anywhere
        return Tags()
    return Tags(_clean(tag.title), _clean(tag.artist), _clean(tag.album))


def _clean(text: object) -> str | None:
    if not isinstance(text, str):
        return None
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()) or None
