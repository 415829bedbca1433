"""``earprint train pack``: folders of audio into a store, with progress and every bad file named."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from earprint.cli import messages
from earprint.cli.progress import print_above, quiet_progress
from earprint.constants import SAMPLE_RATE

if TYPE_CHECKING:
    from earprint.training.store import Pack

LINE_EVERY_S = 30.0
"""Seconds between two lines of progress where stderr is no terminal."""

T = TypeVar("T")

HELP = """\
Decode audio once into a store that training reads.

Music, noises and impulse responses are decoded, checked and written into the folder STORE as samples that
training maps into memory: 115 MB for an hour of audio. Names matter in one way: what comes from the same
source is never both trained on and validated with. The source of a file is the part of its name before "__"
(artist__title.mp3), else its subfolder, else the file by itself. Running it again makes the store anew.

A file that cannot be used is named on stderr and does not stop the rest.

\b
Examples:
  earprint train pack store --music songs/ --noise noise/ --rooms rooms/
  earprint train pack store --music songs/ --noise noise/ --simulate 1000 --rt60 0.3 0.9 --codecs 0.3

\b
Exit code: 0 all fine, 2 some files were left out (the store is complete but for them), or an error.
"""


def pack(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder to make.")],
    music: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="Music, searched for audio files; can be given several times."),
    ],
    noise: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="Noises, one subfolder for each kind (speech, traffic, ...): every kind is drawn as often. "
            "Can be given several times.",
        ),
    ],
    rooms: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Impulse responses: of rooms in the subfolder room, of loudspeakers, telephones and "
            "microphones in the subfolder device. Can be given several times.",
        ),
    ] = None,
    simulate: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Rooms to simulate besides; 0 for none. A room takes 0.3 s, a hall 2."
        ),
    ] = 400,
    rt60: Annotated[
        tuple[float, float],
        typer.Option(
            "--rt60",
            "--t60",
            metavar="LOW HIGH",
            help="Shortest and longest reverberation time (RT60) of the simulated rooms, in s; drawn "
            "log-uniformly. Choose those that your measured rooms lack.",
        ),
    ] = (0.15, 3.0),
    codecs: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of the music (0 to 1) that is packed a second time after a round trip through a "
            "low-rate codec, Opus, AMR or MP3; training then hears it as the query now and then.",
        ),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Picks the simulated rooms and the coded music.")
    ] = 1,
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Processes that decode; 0 for one per core. The store is the same."
        ),
    ] = 0,
) -> None:
    """Decode audio once into a store; ends with exit code 2 if any file was left out."""
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
        _sum_up("music", packed)
        progress.start("noise", totals["noise"])
        _sum_up("noise", pack_audio(noise, store, "noise", on_file=progress.file, jobs=jobs))
        progress.start("rooms", totals["rooms"])
        counted = progress.counted("simulated rooms", simulated, simulate)
        _sum_up("rooms", pack_rooms(responses, counted, store, on_file=progress.file, jobs=jobs))
    if progress.failed:
        left_out = messages.count(progress.failed, "file")
        typer.echo(f"{left_out} left out, as named above; mend or remove them", err=True)
        raise typer.Exit(2)


def _sum_up(kind: str, packed: "Pack") -> None:
    hours = sum(item.length for item in packed.items) / SAMPLE_RATE / 3600
    twins = sum(item.twin is not None for item in packed.items)
    also = f", {twins} of them also coded" if twins else ""
    typer.echo(f"{kind}: {len(packed.items)} items, {hours:.2f} h{also}")


class Progress:
    """A bar on a terminal; elsewhere a line every `LINE_EVERY_S` seconds. Bad files are named on both."""

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
        """Begin with another kind of thing."""
        self._what, self._done, self._total = what, 0, total
        self._bar.reset(self._task, description=what, total=total)

    def file(self, path: Path, problem: str | None) -> None:
        """Count a file and name it if it was left out."""
        if problem is not None:
            self.failed += 1
            print_above(self._bar, messages.failed_file(problem))
        self.advance()

    def counted(self, what: str, things: Iterable[T], total: int) -> Iterator[T]:
        """Pass things on and count them."""
        if total:
            self.start(what, total)
        for thing in things:
            yield thing
            self.advance()

    def advance(self, count: int = 1) -> None:
        """Count things that are done."""
        self._done += count
        self._bar.advance(self._task, count)
        if self._bar.disable and time.monotonic() - self._told > LINE_EVERY_S:
            self._told = time.monotonic()
            print_above(self._bar, f"{self._what}: {self._done}/{self._total}")
