"""``earprint evaluate``: measure models on your own recordings, noises and rooms."""

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earprint.cli import output
from earprint.cli.evaluate_help import HELP
from earprint.cli.options import IndexChoice, Method, StorageChoice
from earprint.cli.progress import quiet_progress
from earprint.evaluation.condition_names import Kind
from earprint.parallel.cores import process_count

if TYPE_CHECKING:
    from rich.progress import Progress

    from earprint.evaluation.ingest import OnProgress

__all__ = ["HELP", "evaluate"]

LINE_EACH_S = 60.0
"""Seconds between lines of progress where stderr is not a terminal."""

MOST_SPEED_PERCENT = 50.0
"""Largest change of speed that can be asked for, in percent."""


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
    augment_distractors: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Copies of each distractor that are added too, 0.8 to 1.25 times as fast.",
        ),
    ] = 0,
    noise: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Noises; each begins at a random place and loops."),
    ] = None,
    rir: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Room impulse responses, one room to a file."),
    ] = None,
    device: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Impulse responses of recording devices, for the phone."),
    ] = None,
    condition: Annotated[
        list[Kind] | None,
        typer.Option(help="Can be given several times.  [default: all that the material allows]"),
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
    speed: Annotated[
        list[float] | None,
        typer.Option(
            metavar="PERCENT",
            min=-MOST_SPEED_PERCENT,
            max=MOST_SPEED_PERCENT,
            help="Faster (3) or slower (-3); can be given several times.",
        ),
    ] = None,
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Queries of each condition and length.")
    ] = 300,
    absent_queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Likewise, of absent recordings.")
    ] = 100,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ask the queries of this manifest.jsonl instead; what chooses queries is then not used.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="Name of a model, or an .onnx file of your own; can be given several times.  "
            "[default: dense]",
        ),
    ] = None,
    storage: Annotated[
        list[StorageChoice] | None,
        typer.Option(
            help="How the libraries store fingerprints; given several times, each is measured.  "
            "[default: the model's]",
        ),
    ] = None,
    index: Annotated[
        list[IndexChoice] | None,
        typer.Option(
            help="How the libraries are searched; given several times, each is measured.  [default: auto]",
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="Another system to put the same questions to: "
            "audfprint=CHECKOUT, chromaprint=FPCALC or olaf=BINARY.",
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
            help="Folder to keep the libraries in, one for each model, to save time when asking again; "
            "interrupted adding goes on there.  [default: a temporary one]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write the results, see above.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Choice of places, noises and rooms: the same seed asks the same."
        ),
    ] = 1,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=0, help="Processes that ask; 0 for one per core.")
    ] = 0,
    compute: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What runs the paper's networks and the exact search: cpu, or with torch (pip install "
            "'earprint[train]') cuda or cuda:N, a GPU, or torch, the CPU. A model X.onnx then needs its "
            "torch weights as X.pt beside it: the weights.pt of its training run.",
        ),
    ] = "cpu",
) -> None:
    """Run the evaluation and print its tables; ends with exit code 2 if nothing can be asked."""
    kinds = list(dict.fromkeys(condition)) if condition else None
    lengths_s, snrs_db = _distinct("--lengths", lengths or [5.0]), _distinct("--snr", snr or [10.0])
    speeds = _distinct("--speed", speed or [])
    _check_conditions(kinds, bool(noise), bool(rir), snr, speeds)
    from earprint.evaluation.backends import computing
    from earprint.evaluation.exclusions import LeftOut
    from earprint.evaluation.experiment import run
    from earprint.evaluation.metrics import summarise
    from earprint.evaluation.peer_runner import describe_peers
    from earprint.evaluation.peers import parse_peer
    from earprint.evaluation.plan import Material, Plan
    from earprint.evaluation.query import read_manifest, write_manifest
    from earprint.evaluation.report import circumstances, markdown, notes, prepare_folder, write_report
    from earprint.evaluation.systems import systems_of

    material = Material(
        references=_audio_files("--references", references),
        distractors=_audio_files("--distractors", distractors),
        absent=_audio_files("--absent", absent),
        noises=_audio_files("--noise", noise),
        rooms=_audio_files("--rir", rir),
        devices=_audio_files("--device", device),
    )
    make_peers = [parse_peer(text, python=peer_python) for text in peer or []]
    plan = Plan(
        lengths_s, snrs_db, queries, absent_queries, method.value, seed,
        speeds_percent=speeds, kinds=kinds, copies=augment_distractors,
        manifest=read_manifest(manifest) if manifest is not None else None, jobs=process_count(jobs),
    )  # fmt: skip
    settings: dict[str, Any] = circumstances()
    if out is not None:
        prepare_folder(out)
    left_out = LeftOut(_say)
    with ExitStack() as stack:
        settings["compute"] = stack.enter_context(computing(compute)).described
        folder = keep_library or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earprint-")))
        systems = systems_of(
            model or ["dense"],
            folder,
            storages=[choice.value for choice in storage or ()],
            indexes=[choice.value for choice in index or (IndexChoice.auto,)],
        )
        progress = stack.enter_context(quiet_progress())
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earprint-peers-")))
        peers = [make(work / str(number)) for number, make in enumerate(make_peers)]
        results = run(
            systems, material, plan, peers=peers, left_out=left_out, on_progress=_shown_on(progress),
            on_manifest=lambda drawn: write_manifest(out / "manifest.jsonl", drawn) if out else None,
        )  # fmt: skip
        hours = max((cost["hours"] for cost in results.costs), default=0.0)
        settings["peers"] = describe_peers(peers, 3600 * hours)
    for line in left_out.lines():
        _say(line)
    settings |= {
        "complete": results.complete, "manifest_queries": results.queries, "systems": results.costs,
        "method": plan.method, "seed": plan.seed, "lengths_s": plan.lengths_s, "snrs_db": plan.snrs_db,
        "speeds_percent": plan.speeds_percent, "conditions": [kind.value for kind in kinds or []] or None,
        "queries": plan.queries, "absent_queries": plan.absent_queries,
        "augment_distractors": plan.copies, "manifest": None if manifest is None else str(manifest),
    }  # fmt: skip
    rows = summarise(results.outcomes)
    if out is not None:
        undrawn = write_report(out, rows, results.outcomes, settings, left_out)
        if undrawn is not None:
            _say(undrawn)
    typer.echo(markdown(rows), nl=False)
    for line in notes(results.outcomes, settings):
        typer.echo(f"\n{output.one_line(line)}")
    if not results.complete:
        raise typer.Exit(130)


def _check_conditions(
    kinds: Sequence[Kind] | None, noise: bool, rir: bool, snr: Sequence[float] | None, speeds: Sequence[float]
) -> None:
    """See that what is asked for comes with what it needs."""
    if snr and not noise:
        raise typer.BadParameter("it needs noises; name a folder of them with --noise", param_hint="'--snr'")
    for kind in kinds or []:
        lacking = None
        if kind in (Kind.noise, Kind.room_noise, Kind.phone) and not noise:
            lacking = "noises; name a folder of them with --noise"
        elif kind in (Kind.room, Kind.room_noise, Kind.phone) and not rir:
            lacking = "room responses; name a folder of them with --rir"
        elif kind == Kind.speed and not speeds:
            lacking = "a change of speed in percent; give it with --speed"
        if lacking is not None:
            raise typer.BadParameter(f"{kind.value} needs {lacking}", param_hint="'--condition'")


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


def _shown_on(progress: "Progress") -> "OnProgress":
    """Make the listener that moves the bar, one after the other for each thing to do.

    Where there is no bar, a line a minute says how far it is: an evaluation may take hours.
    """
    task = progress.add_task("", total=None)
    said = time.monotonic()

    def on_progress(what: str, done: float, total: float) -> None:
        nonlocal said
        progress.update(task, description=what, completed=done, total=total)
        if progress.disable and total and time.monotonic() - said >= LINE_EACH_S:
            said = time.monotonic()
            _say(f"{what}: {100 * done / total:.0f} %")

    return on_progress
