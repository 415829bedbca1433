"""All text of the command line: help, summaries, errors; see also `earprint.cli.maintenance_messages`.

A paragraph of a help text that begins with a backspace character is shown as it is written. The functions
take numbers and return one line of text. Nothing here prints.
"""

import math
from collections.abc import Sequence
from typing import Final

from earprint.errors import count

APP_HELP: Final = """\
Identify audio recordings from a few noisy seconds.

First add your recordings to a library, which stores their acoustic fingerprints. Then let earprint identify
an excerpt, such as a recording by a phone: it names the recording and the position in it, or reports
"no match" if the recording is not in the library.

\b
  earprint demo                     try it, without audio of your own
  earprint add ~/Music              add all recordings of a folder
  earprint identify clip.wav        which recording is this from?
"""

SUMMARIES: Final = {
    "Recordings": {
        "add": "Add recordings to the library.",
        "identify": "Identify the recording that an excerpt comes from.",
        "list": "List the recordings of the library.",
        "remove": "Remove recordings from the library.",
        "info": "Show the size, model and state of the library.",
        "demo": "Try earprint, without audio of your own.",
    },
    "Maintenance": {
        "compact": "Merge small files, and free the space of removed recordings.",
        "verify": "Check the library for damage.",
        "repair": "Repair damaged recordings from their audio files.",
        "rebuild": "Make all fingerprints again from the audio files.",
        "export": "Write all fingerprints into one portable file.",
        "import": "Add the recordings of an exported file.",
        "merge": "Add the recordings of another library.",
    },
    "Models": {
        "model": "Describe the models that make fingerprints.",
        "evaluate": "Measure the accuracy of models and other systems.",
        "train": "Train a model on your own recordings.",
        "data": "Check and split published data sets.",
    },
}
"""One line for each verb, under the headings of ``earprint --help``."""

ADD_HELP: Final = """\
Add recordings to the library.

Folders are searched for audio and video files, including their subfolders. Files whose content the library
holds are skipped, so run the same command again to add new files or to continue after an interruption. The
audio files are read, never changed or copied. Files that cannot be read are named on stderr; the others are
added nevertheless. Write "--" before names that begin with "-".

\b
Examples:
  earprint add ~/Music concert.mp4
  earprint add -- -noise-.wav

\b
Exit code: 0 success, 2 some files failed, 130 interrupted.
"""

IDENTIFY_HELP: Final = """\
Identify the recording that an excerpt comes from.

A few seconds are enough, with noise too. Each FILE is one query of any length and format. The output has
one line per file: the file, the recording, the position in it where the excerpt begins (h:mm:ss.s), the
score (1 at most, 0 or less for unrelated audio), and the lead over the second best recording;
or "no match". A file with parts of several recordings, such as a mix, has one line per part. If the
output is not a terminal, tabs separate the columns and there is no heading. "-" reads audio from stdin.

\b
Examples:
  earprint identify clip.wav
  ffmpeg -i stream.m3u8 -t 10 -f wav - | earprint identify - --json

\b
Exit code: 0 all files have a match, 1 some have none, 2 error.
"""

LIST_HELP: Final = """\
List the recordings of the library.

One line per recording: id, length, title and artist, path. If the output is not a terminal, tabs separate
the columns.

\b
Example:
  earprint list | grep -i harbour
"""

REMOVE_HELP: Final = """\
Remove recordings from the library. Their audio files are not touched.

Name a recording by its id, its path or its exact title, as "earprint list" shows them. All recordings of a
title are removed.

\b
Examples:
  earprint remove 17 "Slow Harbour"
  earprint remove ~/Music/deleted.mp3

\b
Exit code: 0 success, 2 some names are unknown.
"""

INFO_HELP: Final = """\
Show the size, model and state of the library.

\b
Example:
  earprint info --library ~/radio
"""

DEMO_HELP: Final = """\
Try earprint, without audio of your own.

The demonstration adds music to a temporary library, distorts excerpts of it, and identifies them. Without
FOLDER, it synthesises a few dozen pieces of music first. Some recordings are not added: for excerpts of
these, "no match" is right. Your own library is not used.

\b
Examples:
  earprint demo
  earprint demo ~/Music
"""

MODEL_HELP: Final = "Describe the models that make fingerprints."

MODEL_INFO_HELP: Final = """\
Show a model's identity, dimensions, thresholds and training.

The threshold is the lowest score of a match. It depends on the length of the query, and on how the library
stores fingerprints: compact or half precision.

\b
Example:
  earprint model info
"""

LIBRARY_OPTION: Final = (
    "Folder of the library. [default: the environment variable EARPRINT_LIBRARY, else a folder in the user's "
    "data folder, see `earprint info`]"
)
MODEL_OPTION: Final = (
    "Name of a model, or path of an .onnx file. A library holds fingerprints of one model only."
)
JSON_OPTION: Final = "Print the result as one JSON document."
VERSION_OPTION: Final = "Print the version and exit."
TOP_OPTION: Final = "Largest number of matches per file, best first."
THRESHOLD_OPTION: Final = (
    "Lowest score of a match. Without it, files longer than 12 s or without a certain match are searched "
    "again, at any tempo and pitch. [default: the model's, for the length of the query and the storage of "
    "the library]"
)
FALSE_ACCEPTS_OPTION: Final = (
    "Of that second search: how many wrong parts chance may give per file, on average; above 0 and below 1."
)
FALSE_ACCEPTS_RANGE: Final = "give a number above 0 and below 1"
STORAGE_OPTION: Final = (
    "How a new library stores fingerprints. compact: quantised, 25 bytes each. half: half precision, ten "
    "times the size, more accurate for noisy queries of one or two seconds. [default: compact if the model "
    "has a codebook]"
)
INDEX_OPTION: Final = (
    "How the library is searched. exact: all fingerprints are compared. inverted: an inverted file (IVF) of "
    "compact fingerprints. lsh: locality-sensitive hashing, as in the ISMIR 2022 paper. auto: inverted for "
    "large compact libraries, else exact. Indexes of other installed packages are chosen by name too."
)
METHOD_OPTION: Final = (
    "How fingerprint sequences are compared. aligned: every candidate alignment is scored over the whole "
    "query. paper: as in the ISMIR 2022 paper that earprint implements."
)
VERBOSE_OPTION: Final = "If there is no match, show the best candidate, its score and the threshold."
JOBS_OPTION: Final = (
    "Number of processes that fingerprint files. 0: starts in this process; after two seconds of a long "
    "run, one process per core."
)
SEED_OPTION: Final = "Seed of the random choice of music, excerpts and noise."
FOLDER_ARGUMENT: Final = "Folder with music of your own."
ADD_ARGUMENT: Final = "Files or folders."
IDENTIFY_ARGUMENT: Final = 'Audio files, or "-" for stdin.'
REMOVE_ARGUMENT: Final = "Ids, paths or titles."
MODEL_ARGUMENT: Final = "Name of the model."

NO_MATCH: Final = "no match"
INTERRUPTED: Final = "earprint: interrupted"
LEAST_PITCH_CHANGE: Final = 0.75 / 12
"""Octaves between a query's pitch and that of its speed from which the pitch is told."""

ADD_INTERRUPTED: Final = (
    "earprint: interrupted; the finished files are kept, run the same command again to add the others"
)
EMPTY_LIBRARY: Final = 'the library is empty; add recordings with "earprint add PATH"'
STDIN_NAME: Final = "-"
STDIN_CLOSED: Final = "<stdin>: is closed; pipe audio into it"
NOT_FINITE: Final = "give a finite number"
EMPTY_LIBRARY_PATH: Final = "--library has an empty path; name a folder"


def error(cause: object) -> str:
    """Error that ends the command."""
    return f"earprint: error: {cause}"


def unwritable(cause: str) -> str:
    """Error of writing to stdout."""
    return f"the output cannot be written ({cause}); make room or write it to another place"


def unknown_index(name: str, names: Sequence[str]) -> str:
    """Error of an index that is not installed."""
    return f"{name}: no index of this name is installed; use one of {', '.join(names)}"


def waiting(cause: str) -> str:
    """The process that is being waited for."""
    return f"earprint: {cause}"


def failed_file(cause: str) -> str:
    """Error of one file; the command continues."""
    return f"failed: {cause}"


def warning(cause: str) -> str:
    """Fault of a file that was used nevertheless."""
    return f"warning: {cause}"


def added(
    *,
    added: int,
    replaced: int,
    skipped: int,
    failed: int,
    length: str,
    seconds: float,
    rate: float,
) -> str:
    """Summary of `add`; ``length`` is the added audio, ``rate`` its speed as a multiple of real time."""
    parts = [f"added {count(added, 'recording')}"]
    if added:
        parts[0] += f" ({length} of audio in {seconds:.1f} s, {rate:.0f} x real time)"
    if replaced:
        parts.append(f"{replaced} of them replace older content of the same file")
    if skipped:
        parts.append(f"{skipped} already there")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def played(speed: float, pitch: float | None = None, part: str = "") -> str:
    """Tempo and pitch of a query relative to the recording; empty if they are the same.

    Parameters
    ----------
    speed, pitch : float
        Tempo and frequencies of the query divided by those of the recording. The pitch is told if it is not
        that of the speed; None if it is not known.
    part : str
        The part of the query that the answer is for; empty for all of it.
    """
    percent = round(100 * (speed - 1))
    parts = [f"query {part}"] if part else []
    if percent:
        parts.append(f"{abs(percent)} % {'faster' if percent > 0 else 'slower'}")
    if pitch is not None and abs(math.log2(pitch / speed)) > LEAST_PITCH_CHANGE:
        semitones = round(12 * math.log2(pitch))
        parts.append(f"pitch {semitones:+d} semitones" if semitones else "same pitch")
    return f" ({', '.join(parts)})" if parts else ""


def missed(best: float | None, threshold: float, name: str | None) -> str:
    """No match, with the best candidate and its score."""
    if best is None or name is None:
        return f"{NO_MATCH} (no candidates)"
    return f"{NO_MATCH} (best candidate {name}, score {best:.3f}, threshold {threshold:.3f})"


def thresholds(storage: str) -> str:
    """Heading of the thresholds for libraries of one storage."""
    return f"threshold, {storage} storage"


def query_length(length_s: str) -> str:
    """Length of a query in seconds."""
    return f"{length_s} s query"


def removed(name: str, number: int) -> str:
    """A removed recording."""
    return f"removed {number}: {name}"


def share(part: int, whole: int) -> str:
    """Return a part of a whole, such as ``29 of 30``."""
    return f"{part} of {whole}"


DEMO_STAGES: Final = {
    "compose": "synthesising music",
    "add": "adding it to a library",
    "identify": "identifying distorted excerpts",
}


def demo_progress(stage: str, done: int, total: int) -> str:
    """Progress of the demonstration."""
    return f"{DEMO_STAGES[stage]}: {share(done, total)}"


def not_added(title: str) -> str:
    """Title of a recording that was not added."""
    return f"({title})"


def verdict(*, right: bool, located: bool, absent: bool, answered: bool) -> str:
    """Verdict on one answer."""
    if not right:
        return "WRONG" if answered else "missed"
    return "right" if located or absent else "right, wrong position"


def demo_tally(
    *,
    recordings: int,
    length: str,
    add_seconds: float,
    rate: float,
    present: int,
    found: int,
    located: int,
    absent: int,
    refused: int,
    answer_ms: float,
    left_out: int,
    within_s: float,
) -> list[str]:
    """Summary of the demonstration, a few lines."""
    lines = [
        f"{count(recordings, 'recording')} ({length} of audio) added in {add_seconds:.1f} s, "
        f"{rate:.0f} x real time",
        f"{share(found, present)} excerpts found, {located} of them at the right position (within "
        f"{within_s} s)",
    ]
    if absent:
        lines.append(
            f"{share(refused, absent)} excerpts of recordings that were never added got "
            f'"{NO_MATCH}" (their titles are in brackets)'
        )
    lines.append(f"one identification took {answer_ms:.0f} ms (median)")
    if left_out:
        lines.append(f"{count(left_out, 'more file')} of the folder were not used")
    return lines
