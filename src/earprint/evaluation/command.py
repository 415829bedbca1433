"""``earprint evaluate``: measure a model on your own recordings, noises and rooms."""

import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earprint.cli import output
from earprint.cli.options import Method

if TYPE_CHECKING:
    from rich.progress import Progress

    from earprint.evaluation.run import OnProgress

HELP = """\
Measure how often excerpts of known recordings are found.

The references are added to a library. Excerpts are cut from them at random places, distorted, and
identified, and the answers are counted. With --absent, the same is asked about recordings that the
library does not hold, where the right answer is "no match". A folder is searched for audio files; an
option for folders can be given several times.

\b
Conditions, each with the same excerpts:
  clean                as cut
  noise 10 dB          with --noise, for each --snr: a noise added at that ratio
  room                 with --rir: played in a room
  room + noise 10 dB   with both: excerpt and noise played in the same room
  phone                with both: that at 10 dB, and 300-3400 Hz only

\b
Counted, in % of the queries, with 95 % intervals (Wilson) in brackets:
  top-1                the right recording scores highest, however low
  answered             and its score reaches the model's threshold: it is the answer
  wrong                another recording is the answer
  within 50, 100 ms    answered, and the place in the recording is right to that
  or at a repeat       within 100 ms, or where the recording holds the very same sound
  false accepts        of excerpts of absent recordings: anything is the answer

Also given are the median error of the place and the median time of an answer. Files that cannot be used
and excerpts that are silent are left out, and it is said how many.

\b
Example:
  earprint evaluate --references music/ --absent other-music/ --noise noises/ --rir rooms/ \\
      --lengths 2 --lengths 5 --snr 0 --snr 10 --out results/

\b
Exit code: 0 all fine, 2 there was nothing to ask, or an error.
"""


def evaluate(
    references: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="Recordings to add to the library and to cut queries from."),
    ],
    absent: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Recordings to ask about that are not added."),
    ] = None,
    distractors: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Recordings that are added and not asked about, for a larger library."
        ),
    ] = None,
    noise: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Noises; each begins at a random place and loops."),
    ] = None,
    rir: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Room impulse responses, one room to a file."),
    ] = None,
    lengths: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Length of the queries; can be given several times.  [default: 5]",
        ),
    ] = None,
    snr: Annotated[
        list[float] | None,
        typer.Option(
            metavar="DB",
            help="Ratio of excerpt to noise; can be given several times, needs --noise.  [default: 10]",
        ),
    ] = None,
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Queries of each condition and length.")
    ] = 300,
    absent_queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Likewise, of absent recordings.")
    ] = 100,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="Name of a model, or an .onnx file of your own.")
    ] = "dense",
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="Another system to put the same questions to: audfprint=CHECKOUT or olaf=BINARY.",
        ),
    ] = None,
    peer_python: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Python interpreter that has what audfprint needs."),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="How sequences are compared: every alignment re-scored, or as in the paper."),
    ] = Method.aligned,
    keep_library: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Library to add to and keep, to save time when asking again.  [default: a temporary one]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where to write results.json (settings and counts), table.md (what is printed) and "
            "queries.jsonl (each query: files, place, level and answer).",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Choice of places, noises and rooms: the same seed asks the same."
        ),
    ] = 1,
) -> None:
    """Run the evaluation and print its tables; ends with exit code 2 if nothing can be asked."""
    lengths_s, snrs_db = _distinct("--lengths", lengths or [5.0]), _distinct("--snr", snr or [10.0])
    if snr and not noise:
        raise typer.BadParameter("it needs noises; name a folder of them with --noise", param_hint="'--snr'")
    from earprint.evaluation.left_out import LeftOut
    from earprint.evaluation.measure import summarise
    from earprint.evaluation.peers import parse_peer
    from earprint.evaluation.report import circumstances, markdown, notes, prepare_folder, write_report
    from earprint.evaluation.run import Material, Plan, run
    from earprint.evaluation.versus import describe_peers
    from earprint.library import Library

    material = Material(
        references=_audio_files("--references", references),
        distractors=_audio_files("--distractors", distractors),
        absent=_audio_files("--absent", absent),
        noises=_audio_files("--noise", noise),
        rooms=_audio_files("--rir", rir),
    )
    make_peers = [parse_peer(text, python=peer_python) for text in peer or []]
    plan = Plan(lengths_s, snrs_db, queries, absent_queries, method.value, seed)
    settings: dict[str, Any] = circumstances()
    if out is not None:
        prepare_folder(out)
    left_out = LeftOut(_say)
    with ExitStack() as stack:
        folder = keep_library or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earprint-")))
        library = stack.enter_context(Library(folder, model=model))
        progress = stack.enter_context(_progress())
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earprint-peers-")))
        peers = [make(work / str(number)) for number, make in enumerate(make_peers)]
        on_progress = _shown_on(progress)
        outcomes = run(library, material, plan, peers=peers, left_out=left_out, on_progress=on_progress)
        info = library.info()
        settings["peers"] = describe_peers(peers, info.duration_s)
    for line in left_out.lines():
        _say(line)
    rows = summarise(outcomes)
    settings |= {
        "model_id": info.model_id, "fingerprints": info.fingerprints, "tracks": info.tracks,
        "hours": round(info.duration_s / 3600, 2), "method": plan.method, "seed": plan.seed,
        "lengths_s": plan.lengths_s, "snrs_db": plan.snrs_db, "queries": plan.queries,
        "absent_queries": plan.absent_queries,
    }  # fmt: skip
    if out is not None:
        write_report(out, rows, outcomes, settings, left_out)
    typer.echo(markdown(rows), nl=False)
    for line in notes(outcomes, settings):
        typer.echo(f"\n{output.one_line(line)}")


def _distinct(option: str, numbers: Sequence[float]) -> list[float]:
    """Numbers in the order given, each once: twice the same would be counted as one."""
    if not all(math.isfinite(number) for number in numbers):
        raise typer.BadParameter("it must be a finite number", param_hint=f"'{option}'")
    return list(dict.fromkeys(numbers))


def _audio_files(option: str, folders: Sequence[Path] | None) -> list[Path]:
    from earprint.audio import find_audio_files
    from earprint.errors import EvaluationError

    files = list(find_audio_files(folders or [], on_warning=_say))
    if folders and not files:
        names = ", ".join(map(str, folders))
        raise EvaluationError(f"{names}: holds no audio files; name another folder for {option}")
    return files


def _say(line: str) -> None:
    typer.echo(output.one_line(line), err=True)


def _progress() -> "Progress":
    """Make the progress bar; it stays silent unless stderr is a terminal."""
    import sys

    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), disable=not output.is_terminal(sys.stderr), transient=True)


def _shown_on(progress: "Progress") -> "OnProgress":
    """Make the listener that moves the bar, one after the other for each thing to do."""
    task = progress.add_task("", total=None)

    def on_progress(what: str, done: float, total: float) -> None:
        progress.update(task, description=what, completed=done, total=total)

    return on_progress
