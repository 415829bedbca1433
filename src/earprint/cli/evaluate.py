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
from earprint.cli.options import INDEX_METAVAR, Method, StorageChoice, check_index
from earprint.cli.progress import quiet_progress
from earprint.parallel.cores import process_count

if TYPE_CHECKING:
    from rich.progress import Progress

    from earprint.evaluation.ingest import OnProgress

__all__ = ["HELP", "evaluate"]

SECONDS_PER_LINE = 60.0
"""Seconds between lines of progress where stderr is not a terminal."""

SPEEDS = (0.5, 2.0)
"""Lowest and highest factor of --speed."""


def evaluate(
    references: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR", help="Recordings that are added to the library and that queries are cut from."
        ),
    ],
    absent: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Recordings that queries are cut from and that are not added."),
    ] = None,
    distractors: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Recordings that are only added, for a larger library."),
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
        typer.Option(metavar="DIR", help="Impulse responses of recording devices."),
    ] = None,
    speech: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Recordings of speech; each begins at a random place and loops."),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=LEVEL,...]",
            help="See above; can be given several times.  [default: all that the other options allow]",
        ),
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
            help="Ratio of excerpt to noise, also below 0; can be given several times, needs --noise.  "
            "[default: 10]",
        ),
    ] = None,
    speed: Annotated[
        list[float] | None,
        typer.Option(
            metavar="FACTOR",
            min=SPEEDS[0],
            max=SPEEDS[1],
            help="Faster (1.03) or slower (0.97); can be given several times.",
        ),
    ] = None,
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Queries of each condition and length.")
    ] = 300,
    absent_queries: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Queries of absent recordings of each condition and length."),
    ] = 100,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Use the queries of this manifest.jsonl; options that choose queries are then ignored.",
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
            metavar="<half|compact>",
            help="How the libraries store fingerprints; given several times, each is measured.  "
            "[default: the model's]",
        ),
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(
            metavar=INDEX_METAVAR,
            help="How the libraries are searched; given several times, each is measured.  [default: auto]",
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="Another system that gets the same queries: "
            "audfprint=CHECKOUT, chromaprint=FPCALC or olaf=BINARY.",
        ),
    ] = None,
    peer_python: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Python interpreter that has what audfprint needs."),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="How sequences are matched: every alignment is scored again, or as in the paper."),
    ] = Method.aligned,
    keep_library: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to keep the libraries in, one for each model, so that they need not be made again; "
            "interrupted adding is continued.  [default: a temporary one]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the results, see above.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Seed of the random choices: the same seed gives the same queries."
        ),
    ] = 1,
    jobs: Annotated[int, typer.Option(metavar="N", min=0, help="Processes; 0 for one per core.")] = 0,
    compute: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What runs the paper's networks and the exact search: cpu (onnxruntime), cuda or cuda:N "
            "(torch on a GPU), or torch (torch on the CPU). Torch needs pip install 'earprint[train]', and "
            "for a model X.onnx its torch weights as X.pt beside it: the weights.pt of its training run.",
        ),
    ] = "cpu",
) -> None:
    """Run the evaluation and print its tables; ends with exit code 2 if there is no query."""
    lengths_s, snrs_db = _distinct("--lengths", lengths or [5.0]), _distinct("--snr", snr or [10.0])
    if snr and not noise:
        raise typer.BadParameter("it needs noises; name a folder of them with --noise", param_hint="'--snr'")
    indexes = [check_index(name) for name in index or ["auto"]]
    from earprint.evaluation.backends import using_backend
    from earprint.evaluation.condition_options import select_conditions
    from earprint.evaluation.exclusions import Exclusions
    from earprint.evaluation.experiment import run_experiment
    from earprint.evaluation.intervals import load_scipy
    from earprint.evaluation.material import Material
    from earprint.evaluation.peer_runner import describe_peers
    from earprint.evaluation.peers import parse_peer
    from earprint.evaluation.plan import Plan
    from earprint.evaluation.query import read_manifest, write_manifest
    from earprint.evaluation.report import Report, circumstances, prepare_folder
    from earprint.evaluation.systems import make_systems

    load_scipy()
    material = Material(
        references=_audio_files("--references", references),
        distractors=_audio_files("--distractors", distractors),
        absent=_audio_files("--absent", absent),
        noises=_audio_files("--noise", noise),
        rooms=_audio_files("--rir", rir),
        devices=_audio_files("--device", device),
        speech=_audio_files("--speech", speech),
    )
    levels = {"--snr": snrs_db, "--speed": _distinct("--speed", speed or [])}
    make_peers = [parse_peer(text, python=peer_python) for text in peer or []]
    plan = Plan(
        select_conditions(condition, material, levels), lengths_s, queries, absent_queries, method.value,
        seed, copies=augment_distractors,
        manifest=read_manifest(manifest) if manifest is not None else None, jobs=process_count(jobs),
    )  # fmt: skip
    settings: dict[str, Any] = circumstances()
    if out is not None:
        prepare_folder(out)
    exclusions = Exclusions(_say)
    with ExitStack() as stack:
        settings["compute"] = stack.enter_context(using_backend(compute)).description
        folder = keep_library or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earprint-")))
        systems = make_systems(
            model or ["dense"],
            folder,
            storages=[choice.value for choice in storage or ()],
            indexes=indexes,
        )
        progress = stack.enter_context(quiet_progress())
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earprint-peers-")))
        peers = [make(work / str(number)) for number, make in enumerate(make_peers)]
        results = run_experiment(
            systems, material, plan, peers=peers, exclusions=exclusions, on_progress=_show_on(progress),
            on_manifest=lambda drawn: write_manifest(out / "manifest.jsonl", drawn) if out else None,
        )  # fmt: skip
        hours = max((cost["hours"] for cost in results.costs), default=0.0)
        settings["peers"] = describe_peers(peers, 3600 * hours)
    for line in exclusions.summary_lines():
        _say(line)
    settings |= {
        "complete": results.complete, "manifest_queries": results.queries, "systems": results.costs,
        "method": plan.method, "seed": plan.seed, "lengths_s": plan.lengths_s,
        "conditions": [condition.title for condition in plan.conditions],
        "queries": plan.queries, "absent_queries": plan.absent_queries,
        "augment_distractors": plan.copies, "manifest": None if manifest is None else str(manifest),
    }  # fmt: skip
    report = Report(results.outcomes, settings, exclusions)
    if out is not None:
        not_drawn = report.write(out)
        if not_drawn is not None:
            _say(not_drawn)
    typer.echo(report.summary(), nl=False)
    for line in report.notes():
        typer.echo(f"\n{output.one_line(line)}")
    if not results.complete:
        raise typer.Exit(130)


def _distinct(option: str, numbers: Sequence[float]) -> list[float]:
    """Return the numbers in the order given, each once."""
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


def _show_on(progress: "Progress") -> "OnProgress":
    """Return a function that moves the progress bar.

    Where there is no bar, it prints a line each minute, because an evaluation may take hours.
    """
    task = progress.add_task("", total=None)
    printed_at = time.monotonic()

    def on_progress(what: str, done: float, total: float) -> None:
        nonlocal printed_at
        progress.update(task, description=what, completed=done, total=total)
        if progress.disable and total and time.monotonic() - printed_at >= SECONDS_PER_LINE:
            printed_at = time.monotonic()
            _say(f"{what}: {100 * done / total:.0f} %")

    return on_progress
