"""Every sentence that the command line says, in one place: helps, summaries, refusals.

A paragraph of a help that starts with a backspace character is shown line by line, as written.
Functions here take numbers and give one line of text; nothing prints.
"""

from typing import Final

APP_HELP: Final = """\
Remembers audio by what it sounds like.

Add recordings to a library; later, give it a few seconds picked up anywhere, and it says which
recording they are from and where in it, or that it knows no such recording.

\b
  earprint demo                     see it work, without any audio of your own
  earprint add ~/Music              remember everything in a folder
  earprint identify clip.wav        what is this?
"""

ADD_HELP: Final = """\
Add recordings to the library.

Folders are searched for audio and video files. What the library already knows is skipped, by
content, so the same command also resumes after an interruption and picks up new files. A file that
cannot be read is named on stderr and does not stop the rest. Names that begin with "-" go after "--".

\b
Examples:
  earprint add ~/Music concert.mp4
  earprint add -- -noise-.wav

\b
Exit code: 0 all fine, 2 some files failed.
"""

IDENTIFY_HELP: Final = """\
Say which recording a file is from, and where in it.

A few seconds are enough, and noise is expected. One line per file: the recording, the position as
h:mm:ss.s, the score (1 is perfect) and its lead over the next recording; or "no match". Columns are
separated by tabs when the output is not a terminal. "-" reads audio of any format from stdin.

\b
Examples:
  earprint identify clip.wav
  ffmpeg -i stream.m3u8 -t 10 -f wav - | earprint identify - --json

\b
Exit code: 0 every file matched, 1 some had no match, 2 an error on any.
"""

LIST_HELP: Final = """\
List what is in the library.

One line per recording: id, length, title and artist, path; columns are separated by tabs when the
output is not a terminal.

\b
Example:
  earprint list | grep -i harbour
"""

REMOVE_HELP: Final = """\
Remove recordings from the library. Audio files are never touched, and may be gone.

A recording is named by its id, its path or its exact title, or by what "earprint list" shows for it.

\b
Examples:
  earprint remove 17 "Slow Harbour"
  earprint remove ~/Music/deleted.mp3

\b
Exit code: 0 all fine, 2 if one of the names is unknown.
"""

INFO_HELP: Final = """\
Describe the library and its model.

\b
Example:
  earprint info --library ~/radio
"""

DEMO_HELP: Final = """\
See it work, without any audio of your own.

Music is added, excerpts of it are spoiled, and the library is asked which they are. Without a
FOLDER, a few dozen pieces are composed on the spot. Either way a temporary library is used; yours
is left alone. Some recordings are never added: the right answer to those is "no match".

\b
Examples:
  earprint demo
  earprint demo ~/Music
"""

MODEL_HELP: Final = "The networks that make fingerprints."

MODEL_INFO_HELP: Final = """\
Describe a model.

Its identity, size and grid, and how it was trained.

\b
Example:
  earprint model info
"""

LIBRARY_OPTION: Final = "Folder of the library [default: EARPRINT_LIBRARY, or the user's data folder]."
MODEL_OPTION: Final = "Model by name, or an .onnx file of your own; a library keeps to one."
JSON_OPTION: Final = "Print one JSON document instead."
VERSION_OPTION: Final = "Print the version and stop."
TOP_OPTION: Final = "Answers per file, at most, best first."
THRESHOLD_OPTION: Final = "Score from which an answer counts [default: the model's]."
STORAGE_OPTION: Final = (
    "How a new library stores a fingerprint: compact, as a few bytes, or in half precision, ten times the "
    "size and more accurate for a second or two in noise [default: compact if the model has a codebook]."
)
INDEX_OPTION: Final = (
    "How the library is searched: every fingerprint compared, the paper's hash tables, or inverted lists; "
    "auto takes exact for small libraries and those of half precision, else inverted."
)
METHOD_OPTION: Final = "How sequences are compared: every alignment re-scored, or as in the paper."
VERBOSE_OPTION: Final = "With no match, also give the best guess and the threshold it missed."
JOBS_OPTION: Final = (
    "Files fingerprinted at a time, each in a process of its own; 0 for one per core, once it takes long."
)
SEED_OPTION: Final = "Choice of music, places and noise."
FOLDER_ARGUMENT: Final = "Music of your own to use instead."
ADD_ARGUMENT: Final = "Files and folders."
IDENTIFY_ARGUMENT: Final = 'Files, or "-" for stdin.'
REMOVE_ARGUMENT: Final = "Ids, paths or titles."
MODEL_ARGUMENT: Final = "Name of the model."

NO_MATCH: Final = "no match"
INTERRUPTED: Final = "earprint: interrupted"
ADD_INTERRUPTED: Final = (
    "earprint: interrupted; what was finished is kept, run the same command again for the rest"
)
EMPTY_LIBRARY: Final = 'the library is empty; "earprint add PATH" fills it'
STDIN_NAME: Final = "-"
STDIN_CLOSED: Final = "<stdin>: is closed; pipe audio into it"
NOT_FINITE: Final = "give a finite number"
EMPTY_LIBRARY_PATH: Final = "--library has an empty path; name a folder"


def error(cause: object) -> str:
    """Say what stopped the command."""
    return f"earprint: error: {cause}"


def unwritable(cause: str) -> str:
    """Say that stdout takes no more."""
    return f"the output cannot be written ({cause}); make room or send it elsewhere"


def waiting(cause: str) -> str:
    """Say who is being waited for."""
    return f"earprint: {cause}"


def failed_file(cause: str) -> str:
    """Say why a file was left out."""
    return f"failed: {cause}"


def warning(cause: str) -> str:
    """Say what is odd about a file that was taken all the same."""
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
    """Sum up what `add` did; ``length`` is the audio added, ``rate`` its multiple of real time."""
    parts = [f"added {count(added, 'recording')}"]
    if added:
        parts[0] += f" ({length} of audio in {seconds:.1f} s, {rate:.0f} x real time)"
    if replaced:
        parts.append(f"{replaced} of them in place of older content of the same file")
    if skipped:
        parts.append(f"{skipped} already there")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def speed(speed: float) -> str:
    """Remark behind a position on a query that runs at another speed; nothing at the recording's own."""
    percent = round(100 * (speed - 1))
    if not percent:
        return ""
    return f" ({abs(percent)} % {'faster' if percent > 0 else 'slower'})"


def missed(best: float | None, threshold: float, name: str | None) -> str:
    """Say that there is no match, what the best guess was, and how near it came."""
    if best is None or name is None:
        return f"{NO_MATCH} (nothing to compare with)"
    return f"{NO_MATCH} (best guess {name}, score {best:.3f}, threshold {threshold:.3f})"


def removed(name: str, number: int) -> str:
    """Say what was removed."""
    return f"removed {number}: {name}"


def count(n: int, noun: str) -> str:
    """Give a number with its noun, such as ``1 file`` or ``3 files``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def share(part: int, whole: int) -> str:
    """Give a part of a whole, such as ``29 of 30``."""
    return f"{part} of {whole}"


DEMO_STAGES: Final = {
    "compose": "composing music",
    "add": "adding it to a library",
    "identify": "asking about spoiled excerpts",
}


def demo_progress(stage: str, done: int, total: int) -> str:
    """Say what the demonstration is at."""
    return f"{DEMO_STAGES[stage]}: {share(done, total)}"


def not_added(title: str) -> str:
    """Mark the title of a recording that the library does not hold."""
    return f"({title})"


def verdict(*, right: bool, located: bool, absent: bool, answered: bool) -> str:
    """Judge one answer."""
    if not right:
        return "WRONG" if answered else "missed"
    return "right" if located or absent else "right, elsewhere in it"


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
    """Sum up the demonstration, in a few lines."""
    lines = [
        f"{count(recordings, 'recording')} ({length} of audio) added in {add_seconds:.1f} s, "
        f"{rate:.0f} x real time",
        f"{share(found, present)} excerpts found, {located} of them located within {within_s} s",
    ]
    if absent:
        lines.append(
            f"{share(refused, absent)} excerpts of recordings that were never added got "
            f'"{NO_MATCH}" (their titles are in brackets)'
        )
    lines.append(f"an answer took {answer_ms:.0f} ms (median)")
    if left_out:
        lines.append(f"{count(left_out, 'more file')} of the folder did not take part")
    return lines
