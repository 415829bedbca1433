"""``earprint identify``: identify the recordings that files come from."""

import math
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earprint.cli import messages, output
from earprint.cli.options import (
    IndexOption,
    JsonOption,
    LibraryOption,
    Method,
    ModelOption,
    check_index,
    library_path,
    one_thread_for_numpy,
)
from earprint.errors import AudioError, EarprintError

if TYPE_CHECKING:
    from earprint.library import Identification, Library
    from earprint.library.results import Segment


COLUMNS = ("query", "recording", "position", "score", "lead")


def _finite(number: float | None) -> float | None:
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(messages.NOT_FINITE)
    return number


def _share(number: float) -> float:
    if not 0.0 < number < 1.0:
        raise typer.BadParameter(messages.FALSE_ACCEPTS_RANGE)
    return number


def identify(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help=messages.IDENTIFY_ARGUMENT)],
    as_json: JsonOption = False,
    top: Annotated[int, typer.Option("--top", min=1, help=messages.TOP_OPTION)] = 1,
    threshold: Annotated[
        float | None, typer.Option("--threshold", callback=_finite, help=messages.THRESHOLD_OPTION)
    ] = None,
    false_accepts: Annotated[
        float, typer.Option("--false-accepts", callback=_share, help=messages.FALSE_ACCEPTS_OPTION)
    ] = 1e-3,
    method: Annotated[Method, typer.Option("--method", help=messages.METHOD_OPTION)] = Method.aligned,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help=messages.VERBOSE_OPTION)] = False,
    library: LibraryOption = None,
    model: ModelOption = "dense",
    index: IndexOption = "auto",
) -> None:
    """Identify each file; exit code 1 if some have no match, 2 if some failed."""
    one_thread_for_numpy()
    from earprint.library import Library

    documents: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    unmatched = failed = 0
    folder = library_path(ctx, library)
    with Library(folder, create=False, model=model, index=check_index(index)) as opened:
        for file in files:
            try:
                result = _identify(opened, file, top, threshold, false_accepts, method)
            except EarprintError as error:
                failed += 1
                typer.echo(messages.error(output.one_line(error)), err=True)
                documents.append({"query": file, "error": str(error)})
                continue
            for line in result.warnings:
                typer.echo(messages.warning(output.one_line(line)), err=True)
            unmatched += result.match is None
            documents.append({"query": file, **result.to_dict()})
            lines = _lines(file, result, verbose)
            if as_json:
                continue
            if output.to_terminal():
                rows += lines
            else:
                # In a pipe, each answer is printed at once.
                output.print_table(COLUMNS, lines)
    if as_json:
        output.print_json(documents)
    elif rows:
        output.print_table(COLUMNS, rows)
    if failed or unmatched:
        raise typer.Exit(2 if failed else 1)


def _identify(
    library: "Library", file: str, top: int, threshold: float | None, false_accepts: float, method: Method
) -> "Identification":
    if file == messages.STDIN_NAME and sys.stdin is None:
        raise AudioError(messages.STDIN_CLOSED)
    source = sys.stdin.buffer if file == messages.STDIN_NAME else file
    return library.identify(
        source, top=top, threshold=threshold, false_accepts=false_accepts, method=method.value
    )


def _lines(file: str, result: "Identification", verbose: bool) -> list[tuple[str, ...]]:
    """Return one row per match, or one row for no match, with the best candidate if ``verbose``."""
    query = output.one_line(file)
    if result.match is None:
        text = messages.NO_MATCH
        if verbose:
            best = next(iter(result.candidates), None)
            text = messages.missed(
                best.score if best else None,
                result.threshold,
                output.track_name(best.track) if best else None,
            )
        return [(query, text, "", "", "")]
    if len(result.segments) > 1:
        return [_segment_line(query, segment, result) for segment in result.segments]
    segment = next(iter(result.segments), None)
    return [
        (
            query,
            output.track_name(match.track),
            output.position(match.start_s)
            + messages.played(match.speed, segment.pitch if segment and number == 0 else None),
            f"{match.score:.3f}",
            f"{match.lead:.3f}",
        )
        for number, match in enumerate(result.matches)
    ]


def _segment_line(query: str, segment: "Segment", result: "Identification") -> tuple[str, ...]:
    """Return the row of a segment: the recording, and where the segment begins in it and in the query."""
    part = f"{output.position(segment.query_start_s)}-{output.position(segment.query_end_s)}"
    leads = [match.lead for match in result.matches if match.track.id == segment.track.id]
    return (
        query,
        output.track_name(segment.track),
        output.position(segment.start_s) + messages.played(segment.speed, segment.pitch, part),
        f"{segment.score:.3f}",
        *(f"{lead:.3f}" for lead in leads or [0.0]),
    )
