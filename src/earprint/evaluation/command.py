"""``earprint evaluate``: measure a model on your own recordings, noises and rooms."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from earprint.cli.options import Method

HELP = """Measure how often noisy excerpts of known recordings are found.

Adds the references to a library, cuts excerpts at random places, distorts them (noise, rooms, both,
telephone), identifies them and prints shares with 95 % intervals: top-1, answered (score at or above the
threshold), located within 100 and 50 ms; and false accepts for recordings that are not in the library.

Example: earprint evaluate --references music/ --absent other/ --noise noise/ --rir rooms/
--lengths 2 --lengths 5 --snr 0 --snr 10 --queries 300 --out results/
"""


def evaluate(
    references: Annotated[
        list[Path], typer.Option(help="Folder of recordings to add and to cut queries from.")
    ],
    absent: Annotated[
        list[Path] | None, typer.Option(help="Folder of recordings never added: false accepts.")
    ] = None,
    distractors: Annotated[
        list[Path] | None, typer.Option(help="Folder of recordings added but never asked about.")
    ] = None,
    noise: Annotated[list[Path] | None, typer.Option(help="Folder of noises.")] = None,
    rir: Annotated[list[Path] | None, typer.Option(help="Folder of room responses.")] = None,
    lengths: Annotated[list[float] | None, typer.Option(help="Query length, s.")] = None,
    snr: Annotated[list[float] | None, typer.Option(help="Signal-to-noise ratio, dB.")] = None,
    queries: Annotated[int, typer.Option(help="Queries of each condition and length.")] = 300,
    absent_queries: Annotated[int, typer.Option(help="Absent queries likewise.")] = 100,
    model: Annotated[str, typer.Option(help="Model name or .onnx file.")] = "dense",
    method: Annotated[Method, typer.Option(help="How to search.")] = Method.aligned,
    keep_library: Annotated[
        Path | None, typer.Option(help="Library folder to use and keep, instead of a temporary one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.json, table.md, queries.jsonl.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
) -> None:
    """Run the evaluation and print its tables."""
    from earprint.audio import find_audio_files
    from earprint.evaluation.measure import Outcome, ask, summarise
    from earprint.evaluation.queries import conditions, draw_excerpts, render, under
    from earprint.evaluation.report import markdown, write_report
    from earprint.library import Library

    lengths, snr = lengths or [5.0], snr or [10.0]
    noises, rooms = list(find_audio_files(noise or [])), list(find_audio_files(rir or []))
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        folder = keep_library or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        library = stack.enter_context(Library(folder, model=model))
        report = library.add(*references, *(distractors or []))
        for failure in report.failed:
            typer.echo(f"left out: {failure.cause}", err=True)
        roots = [path.resolve() for path in references]
        known = [
            (Path(track.path), track.duration_s)
            for track in library.tracks()
            if track.path and any(Path(track.path).is_relative_to(root) for root in roots)
        ]
        unknown = [(path, _duration_s(path)) for path in find_audio_files(absent or [])]
        wanted = conditions(snr, bool(noises), bool(rooms))
        for length_s in lengths:
            drawn = draw_excerpts(known, queries, length_s, seed, noises=noises, rooms=rooms)
            drawn += draw_excerpts(
                unknown, absent_queries, length_s, seed + 1, noises=noises, rooms=rooms, present=False
            )
            asked = [under(query, condition) for condition in wanted for query in drawn]
            with typer.progressbar(
                ask(library, render(asked), method.value), length=len(asked), label=f"{length_s:g} s",
                file=_stderr(),
            ) as answers:  # fmt: skip
                outcomes += list(answers)
        info = library.info()
    rows = summarise(outcomes)
    settings: dict[str, Any] = {
        "model_id": info.model_id, "fingerprints": info.fingerprints, "tracks": info.tracks,
        "hours": round(info.duration_s / 3600, 2), "method": method.value, "seed": seed,
    }  # fmt: skip
    typer.echo(
        f"{info.model_id}, {info.tracks} tracks, {info.duration_s / 3600:.1f} h, "
        f"{info.fingerprints:,} fingerprints, method {method.value}, seed {seed}\n"
    )
    typer.echo(markdown(rows), nl=False)
    if out is not None:
        write_report(out, rows, outcomes, settings)


def _duration_s(path: Path) -> float:
    from earprint.audio import stream_audio
    from earprint.constants import SAMPLE_RATE

    return sum(len(block) for block in stream_audio(path)) / SAMPLE_RATE


def _stderr() -> Any:
    import sys

    return sys.stderr
