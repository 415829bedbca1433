"""``earprint train pack``: decodes folders of audio into a store."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from earprint.cli import messages
from earprint.cli.progress import print_above, quiet_progress
from earprint.constants import SAMPLE_RATE
from earprint.errors import count

if TYPE_CHECKING:
    from earprint.training.packed_audio import Pack

LINE_EVERY_S = 30.0
"""Seconds between two lines of progress if stderr is not a terminal."""

T = TypeVar("T")

HELP = """\
Decode audio once into a store that training reads.

Music, noises and impulse responses are decoded, checked and written into the folder STORE as samples that
training maps into memory: 115 MB for an hour of audio. Training and validation never share a source. The
source of a file is the part of its name before "__" (artist__title.mp3), else its subfolder, else the file
itself. Running it again replaces the store.

A file that cannot be used is named on stderr; the rest continues.

\b
Examples:
  earprint train pack store --music songs/ --noise noise/ --rooms rooms/
  earprint train pack store --music songs/ --noise noise/ --simulate 1000 --rt60 0.3 0.9 --codecs 0.3

\b
Exit code: 0 success, 2 some files were left out (the store holds all others), or an error.
"""


def pack(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder to make.")],
    music: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="Folder of music; can be given several times."),
    ],
    noise: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="Folder of noises, one subfolder for each kind (speech, traffic, ...). All kinds are drawn "
            "equally often. Can be given several times.",
        ),
    ],
    rooms: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Folder of impulse responses: of rooms in the subfolder room, of loudspeakers, telephones "
            "and microphones in the subfolder device. Can be given several times.",
        ),
    ] = None,
    simulate: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Additional simulated rooms. A small room takes 0.3 s of computing, a hall 2 s.",
        ),
    ] = 400,
    rt60: Annotated[
        tuple[float, float],
        typer.Option(
            "--rt60",
            "--t60",
            metavar="LOW HIGH",
            help="Range of the reverberation time (RT60) of the simulated rooms in s, log-uniform. Choose "
            "times that your measured rooms lack.",
        ),
    ] = (0.15, 3.0),
    codecs: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of the music (0 to 1) that is packed a second time after a round trip through a "
            "low-rate codec (Opus, AMR or MP3). Training uses these copies for some queries.",
        ),
    ] = 0.0,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Seed of the simulated rooms and of the choice of coded music."
        ),
    ] = 1,
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Processes that decode; 0 is one for each core. The store does not depend on it.",
        ),
    ] = 0,
) -> None:
    """Decode audio once into a store; exit code 2 if a file was left out."""
    from earprint.dsp.room_simulation import simulate_rooms
    from earprint.training.packing import count_files, pack_audio, pack_rooms

    responses = rooms or []
    totals = {
        "music": count_files(music, "music"),
        "noise": count_files(noise, "noise"),
        "rooms": count_files(responses, "rooms"),
    }
    simulated = simulate_rooms(simulate, seed, rt60) if simulate else iter(())
    with Progress() as progress:
        progress.start("music", totals["music"])
        packed = pack_audio(
            music, store, "music", on_file=progress.file, coded_share=codecs, seed=seed, jobs=jobs
        )
        _report("music", packed)
        progress.start("noise", totals["noise"])
        _report("noise", pack_audio(noise, store, "noise", on_file=progress.file, jobs=jobs))
        progress.start("rooms", totals["rooms"])
        counted = progress.counted("simulated rooms", simulated, simulate)
        _report("rooms", pack_rooms(responses, counted, store, on_file=progress.file, jobs=jobs))
    if progress.failed:
        left_out = count(progress.failed, "file")
        typer.echo(f"{left_out} left out, as named above; repair or remove them", err=True)
        raise typer.Exit(2)


def _report(kind: str, packed: "Pack") -> None:
    hours = sum(item.length for item in packed.items) / SAMPLE_RATE / 3600
    twins = sum(item.twin is not None for item in packed.items)
    also = f", {twins} of them also coded" if twins else ""
    typer.echo(f"{kind}: {len(packed.items)} items, {hours:.2f} h{also}")


class Progress:
    """A bar on a terminal; otherwise a line every `LINE_EVERY_S` seconds. Names files that were left out."""

    def __init__(self) -> None:
        self.failed = 0
        self._bar = quiet_progress()
        self._task = self._bar.add_task("", total=None)
        self._what, self._done, self._total, self._told = "", 0, 0, time.monotonic()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def start(self, what: str, total: int) -> None:
        """Start counting another kind of item."""
        self._what, self._done, self._total = what, 0, total
        self._bar.reset(self._task, description=what, total=total)

    def file(self, path: Path, problem: str | None) -> None:
        """Count a file, and name it if it was left out."""
        if problem is not None:
            self.failed += 1
            print_above(self._bar, messages.failed_file(problem))
        self.advance()

    def counted(self, what: str, items: Iterable[T], total: int) -> Iterator[T]:
        """Pass items on and count them."""
        if total:
            self.start(what, total)
        for item in items:
            yield item
            self.advance()

    def advance(self, count: int = 1) -> None:
        """Count finished items."""
        self._done += count
        self._bar.advance(self._task, count)
        if self._bar.disable and time.monotonic() - self._told > LINE_EVERY_S:
            self._told = time.monotonic()
            print_above(self._bar, f"{self._what}: {self._done}/{self._total}")
