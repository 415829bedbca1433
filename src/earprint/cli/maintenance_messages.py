"""Text of the verbs that maintain a library; see `earprint.cli.messages` for the others."""

from typing import Final

from earprint.errors import count

COMPACT_HELP: Final = """\
Merge small files, and free the space of removed recordings.

"earprint add" does this by itself when it is worthwhile. The library can be used meanwhile, and an
interruption loses nothing.

\b
Example:
  earprint compact

\b
Exit code: 0 success, 2 a damaged file was left as it is.
"""

VERIFY_HELP: Final = """\
Check the library for damage.

All fingerprints are read and compared with their checksums, and damaged recordings are named. They are no
longer searched until "earprint repair" has repaired them. All other recordings can still be identified.

\b
Examples:
  earprint verify
  earprint verify --json

\b
Exit code: 0 nothing is damaged, 2 there is damage.
"""

REPAIR_HELP: Final = """\
Repair damaged recordings from their audio files.

Damaged recordings are fingerprinted again from their files, which must have the same content as when they
were added. Recordings whose files are missing or changed are named. They stay in the library, but are not
searched. Bring their files back and repair again, or remove them with --drop-lost.

\b
Examples:
  earprint repair
  earprint repair --drop-lost

\b
Exit code: 0 nothing is damaged now, 2 there is still damage.
"""

REBUILD_STORAGE_OPTION: Final = (
    "How the new fingerprints are stored, whatever the library has now. compact: quantised, 25 bytes each. "
    "half: half precision, ten times the size, more accurate for noisy queries of one or two seconds. "
    "[default: compact if the model has a codebook, else half, also for a library that is half now]"
)

REBUILD_HELP: Final = """\
Make all fingerprints again from the audio files.

Use this to change the library's model or storage. Ids, titles and dates stay. The library uses its old
fingerprints until all new ones are ready; then it switches at once. Run the same command again to continue an
interrupted rebuild. If audio files are missing, or have other content than when they were added, they are
named and the library does not switch, unless --drop-missing removes their recordings.

\b
Examples:
  earprint rebuild
  earprint rebuild --model mine.onnx
  earprint rebuild --storage half

\b
Exit code: 0 the library has the new fingerprints, 2 it is unchanged, 130 interrupted.
"""

EXPORT_HELP: Final = """\
Write all fingerprints into one portable file.

The .npz file holds fingerprints and names, no audio. "earprint import" reads it on any computer. It holds
the paths of the audio files only with --with-paths.

\b
Example:
  earprint export radio.npz
"""

IMPORT_HELP: Final = """\
Add the recordings of an exported file.

The file must hold fingerprints of the library's model. Recordings that the library holds are skipped. The
whole file is checked first: either all other recordings are added, or none. A missing library is made.

\b
Example:
  earprint import radio.npz
"""

MERGE_HELP: Final = """\
Add the recordings of another library.

DIR is the folder of the other library, which must have the same model and is not changed. Recordings that
your library holds are skipped. A missing library is made. To make a compact library of a half-precision one
without its audio files, merge it into a new library with --storage compact.

\b
Examples:
  earprint merge ~/other-library
  earprint --library ~/small merge --storage compact ~/other-library
"""

DROP_LOST_OPTION: Final = "Remove damaged recordings that cannot be repaired."
DROP_MISSING_OPTION: Final = "Remove recordings whose files are missing, changed or unreadable."
DISCARD_OPTION: Final = "Delete the new fingerprints of an unfinished rebuild, and make none."
WITH_PATHS_OPTION: Final = "Write the paths of the audio files too."
EXPORT_ARGUMENT: Final = "File to write (.npz); it must not exist."
IMPORT_ARGUMENT: Final = 'File made by "earprint export".'
MERGE_ARGUMENT: Final = "Folder of the other library."

REBUILD_INTERRUPTED: Final = (
    "earprint: interrupted; the library is unchanged, run the same command again to continue"
)
NO_REBUILD: Final = "there is no unfinished rebuild"
DISCARDED: Final = "the unfinished rebuild is deleted; the library is unchanged"
INTACT: Final = "nothing is damaged"


def compacted(*, before: int, after: int, dropped: int, freed: str) -> str:
    """Summary of `compact`; ``freed`` is a size with its unit."""
    if before == after and not dropped:
        return f"nothing to do: {count(after, 'segment')}"
    return (
        f"{count(before, 'segment')} became {after:,}; {count(dropped, 'fingerprint')} of removed recordings "
        f"deleted, {freed} freed"
    )


def verified(*, tracks: int, segments: int, size: str, damaged: int, problems: int) -> str:
    """Summary of `verify`."""
    read = f"{count(tracks, 'recording')} in {count(segments, 'segment')} ({size})"
    if not damaged and not problems:
        return f"{read}: {INTACT}"
    return (
        f"{read}: {count(problems, 'problem')}, {count(damaged, 'damaged recording')}; run `earprint repair`"
    )


def damaged(number: int, name: str) -> str:
    """A damaged recording."""
    return f"damaged: {number}: {name}"


def lost(number: int, name: str, path: str | None, cause: str) -> str:
    """A recording that could not be fingerprinted again, and why."""
    return f"failed: {number}: {name}: {f'{path}: ' if path else ''}{cause}"


def stray(path: str) -> str:
    """A file that no recording needs."""
    return f"note: {path}: belongs to no recording; the next change of the library deletes it"


def repaired(*, recomputed: int, moved: int, lost: int, dropped: bool) -> str:
    """Summary of `repair`."""
    if not recomputed and not moved and not lost:
        return INTACT
    parts = [f"{count(recomputed, 'recording')} repaired"]
    if moved:
        parts.append(f"{moved:,} moved out of damaged segments")
    if lost:
        parts.append(f"{lost:,} {'removed' if dropped else 'still damaged'}")
    return ", ".join(parts)


def rebuilt(*, rebuilt: int, resumed: int, dropped: int, model_id: str) -> str:
    """Summary of a rebuild that switched."""
    parts = [f"{count(rebuilt, 'recording')} fingerprinted again by model {model_id}"]
    if resumed:
        parts.append(f"{resumed:,} of them in an earlier run")
    if dropped:
        parts.append(f"{dropped:,} removed")
    return ", ".join(parts)


def not_rebuilt(missing: int) -> str:
    """Error of a rebuild that did not switch."""
    return (
        f"{count(missing, 'recording')} could not be fingerprinted again, so the library is unchanged; bring "
        "the files back and run this again, or remove these recordings with --drop-missing"
    )


def exported(*, tracks: int, fingerprints: int, size: str, path: str) -> str:
    """Summary of `export`."""
    return f"wrote {count(tracks, 'recording')} ({count(fingerprints, 'fingerprint')}, {size}) to {path}"


def imported(added: int, skipped: int) -> str:
    """Summary of `import` and `merge`."""
    return f"added {count(added, 'recording')}" + (f", {skipped:,} already there" if skipped else "")
