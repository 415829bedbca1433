"""The sentences of the verbs that look after a library; see `earprint.cli.messages` for the others."""

from typing import Final

from earprint.cli.messages import count

COMPACT_HELP: Final = """\
Tidy the library's files: merge small ones, and delete what removed recordings leave on the disk.

Adding does the most urgent of this by itself. The library can be asked meanwhile, and an interruption
loses nothing.

\b
Example:
  earprint compact

\b
Exit code: 0 all fine, 2 if a file is damaged and was left as it is.
"""

VERIFY_HELP: Final = """\
Read the whole library and name everything that is damaged.

Every fingerprint is compared with the checksum that it was written with. Damaged recordings are not
searched from then on; the rest of the library is. "earprint repair" mends it.

\b
Examples:
  earprint verify
  earprint verify --json

\b
Exit code: 0 nothing is damaged, 2 something is.
"""

REPAIR_HELP: Final = """\
Make damaged recordings again from their audio files.

A file must still have the content that it was added with. Recordings that cannot be made again are
named and stay in the list, unsearched, until their files are back or --drop-lost removes them.

\b
Examples:
  earprint repair
  earprint repair --drop-lost

\b
Exit code: 0 all is sound now, 2 something is not.
"""

REBUILD_HELP: Final = """\
Make all fingerprints again from the audio files, with another model or the same.

Ids, titles and dates stay. The library answers with its old fingerprints until all new ones are there;
then it switches at once. An interrupted rebuild goes on where it was when it is run again. If files are
gone, or have other content than when they were added, they are named and the library stays as it is,
unless --drop-missing removes their recordings.

\b
Examples:
  earprint rebuild
  earprint rebuild --model mine.onnx
  earprint rebuild --storage half

\b
Exit code: 0 the library has the new fingerprints, 2 it is as it was.
"""

EXPORT_HELP: Final = """\
Write the library's fingerprints and names, without audio, into one file.

The file is a .npz that "earprint import" reads anywhere. It does not tell where the audio files lie
unless --with-paths is given.

\b
Example:
  earprint export radio.npz
"""

IMPORT_HELP: Final = """\
Add the recordings of a file made by "earprint export".

Only fingerprints of the library's own model come in; recordings that it holds are passed over. The whole
file is checked before anything is added.

\b
Example:
  earprint import radio.npz
"""

MERGE_HELP: Final = """\
Add the recordings of another library.

Only fingerprints of the same model come in; recordings that are there already are passed over. The other
library is left as it is. A library that is not there yet is made: a compact one from one of half precision,
without its audio, by --storage compact.

\b
Examples:
  earprint merge ~/other-library
  earprint --library ~/small merge --storage compact ~/other-library
"""

DROP_LOST_OPTION: Final = "Remove damaged recordings that cannot be made again."
DROP_MISSING_OPTION: Final = "Remove recordings whose files are gone, changed or unreadable."
GIVE_UP_OPTION: Final = "Forget an unfinished rebuild and delete what it made."
WITH_PATHS_OPTION: Final = "Tell where the audio files lie."
EXPORT_ARGUMENT: Final = "File to write; it must not exist."
IMPORT_ARGUMENT: Final = "File to read."
MERGE_ARGUMENT: Final = "Folder of the other library."

REBUILD_INTERRUPTED: Final = (
    "earprint: interrupted; the library is as it was, run the same command again to go on"
)
NO_REBUILD: Final = "there is no unfinished rebuild"
GAVE_UP: Final = "the unfinished rebuild is forgotten; the library is as it was"
SOUND: Final = "nothing is damaged"


def compacted(*, before: int, after: int, dropped: int, freed: str) -> str:
    """Sum up compacting; ``freed`` is a size with its unit."""
    if before == after and not dropped:
        return f"nothing to do: {count(after, 'segment')}"
    return (
        f"{count(before, 'segment')} became {after:,}; {count(dropped, 'fingerprint')} of removed recordings "
        f"deleted, {freed} freed"
    )


def verified(*, tracks: int, segments: int, size: str, damaged: int, problems: int) -> str:
    """Sum up verifying."""
    read = f"{count(tracks, 'recording')} in {count(segments, 'segment')} ({size})"
    if not damaged and not problems:
        return f"{read}: {SOUND}"
    return (
        f"{read}: {count(problems, 'problem')}, {count(damaged, 'damaged recording')}; run `earprint repair`"
    )


def damaged(number: int, name: str) -> str:
    """Name a damaged recording."""
    return f"damaged: {number}: {name}"


def lost(number: int, name: str, path: str | None, cause: str) -> str:
    """Name a recording that could not be made again, and why."""
    return f"failed: {number}: {name}: {f'{path}: ' if path else ''}{cause}"


def stray(path: str) -> str:
    """Name a file that no recording needs."""
    return f"note: {path}: belongs to no recording; the next change of the library deletes it"


def repaired(*, recomputed: int, moved: int, lost: int, dropped: bool) -> str:
    """Sum up repairing."""
    if not recomputed and not moved and not lost:
        return SOUND
    parts = [f"{count(recomputed, 'recording')} made again"]
    if moved:
        parts.append(f"{moved:,} saved from damaged segments")
    if lost:
        parts.append(f"{lost:,} {'removed' if dropped else 'still damaged'}")
    return ", ".join(parts)


def rebuilt(*, rebuilt: int, resumed: int, dropped: int, model_id: str) -> str:
    """Sum up a rebuild that switched."""
    parts = [f"{count(rebuilt, 'recording')} made again by model {model_id}"]
    if resumed:
        parts.append(f"{resumed:,} of them by an earlier run")
    if dropped:
        parts.append(f"{dropped:,} removed")
    return ", ".join(parts)


def not_rebuilt(missing: int) -> str:
    """Refuse to switch."""
    return (
        f"{count(missing, 'recording')} could not be made again, so the library is as it was; bring the "
        "files back and run this again, or remove those recordings with --drop-missing"
    )


def exported(*, tracks: int, fingerprints: int, size: str, path: str) -> str:
    """Sum up an export."""
    return f"wrote {count(tracks, 'recording')} ({count(fingerprints, 'fingerprint')}, {size}) to {path}"


def imported(added: int, skipped: int) -> str:
    """Sum up an import or a merge."""
    return f"added {count(added, 'recording')}" + (f", {skipped:,} already there" if skipped else "")
