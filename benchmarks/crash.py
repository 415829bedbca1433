"""Kills a library's writer at random moments, hundreds of times, and checks after each that nothing is lost.

A child process adds, removes, compacts or rebuilds and is ended by SIGKILL somewhere in between: half of them
at any moment, half just before or after something reaches the disk (a flush, renaming, deletion or commit),
because the moments between two of those are short. Each time,

- all that was there before, or was acknowledged by the child before it died, is there, with the very same
  fingerprints; what the child had begun is there whole or not at all;
- a removal has taken away all its tracks or none, a rebuild has switched all tracks or none;
- `verify` finds nothing damaged, and no file is left over once the next writer has been at work;
- a reader that looks while the child works sees whole tracks of one model only;
- the next command works, and running the same one again completes it.

The encoder is a toy, so that the time goes into writing. SIGKILL does not test what a power cut does to the
disk; that rests on flushing before renaming and committing. Needs a system with `fork`.

    python benchmarks/crash.py --kills 300
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dying import Place, ToyEncoder, die_at
from earprint.audio.wav import write_wav
from earprint.constants import SAMPLE_RATE
from earprint.library import Library, Settings, Track
from earprint.library.compatibility import new_storage
from earprint.library.ingest import pack
from earprint.store.segments import checksum_of
from earprint.store.store import Batch

FILES = 40
"""Recordings to add and remove."""

SECONDS = 2.0
"""Length of a recording."""

SETTINGS = Settings(first_commit_s=0.0, longest_commit_s=0.0, many_small=8)
"""Every file is a commit: many moments to die at."""

VERBS = ("add", "remove", "compact", "rebuild")

DONE = b"done\n"
"""What a child says last."""


@dataclass
class Tally:
    """What came of one verb.

    Attributes
    ----------
    begun, killed : int
        Children, and those that died on the way.
    places : dict of str to int
        Places in the program where the disk changes, and how often a child passes them at most.
    took_s : list of float
        Times of children that nobody disturbed.
    """

    begun: int = 0
    killed: int = 0
    places: dict[str, int] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)


class Trial:
    """A library that is tormented, and what must be in it.

    Parameters
    ----------
    folder : Path
        Empty; gets recordings and library.
    seed : int
        Decides what is done and when it is ended, as far as the machine's load allows.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._library = folder / "library"
        self._log = folder / "log"
        self._points = folder / "points"
        self._files = []
        noise = np.random.default_rng(seed)
        for number in range(FILES):
            path = folder / f"piece-{number}.wav"
            write_wav(path, (0.1 * noise.standard_normal(round(SECONDS * SAMPLE_RATE))).astype(np.float32))
            self._files.append(path)
        self._expected = {
            (name, path.stem): digest_of(name, path) for name in ("one", "two") for path in self._files
        }
        self._model = "one"
        self._live: set[str] = set()
        self.tallies = {verb: Tally() for verb in VERBS}

    def step(self) -> None:
        """Let a child do something, end it, check everything."""
        verb = self._random.choice(VERBS)
        names: list[str] = []
        if verb == "add" or not self._live:
            verb, names = "add", self._some({path.stem for path in self._files} - self._live)
        elif verb == "remove":
            names = self._some(self._live)
        tally = self.tallies[verb]
        usual_s = max(tally.took_s[-5:], default=0.2)
        target = {"one": "two", "two": "one"}[self._model]
        self._log.unlink(missing_ok=True)
        began = time.monotonic()
        any_moment = self._random.random() < 0.5
        # Every place in the program that changes the disk has the same chance, however often it is passed.
        place = self._random.choice(sorted(tally.places) or [""])
        end = ("", 0) if any_moment else (place, self._random.randint(1, tally.places.get(place, 1)))
        child = self._fork(lambda: self._work(verb, names, target), end)
        try:
            wait_s = self._random.uniform(0, 1.05) * usual_s if any_moment else 60
            self._wait_and_look(child, began + wait_s)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        said = self._log.read_bytes() if self._log.exists() else b""
        tally.begun += 1
        done = said.endswith(DONE)
        tally.killed += not done
        if done:
            tally.took_s.append(time.monotonic() - began)
        if self._points.exists():
            passed = Counter(self._points.read_text().splitlines())
            tally.places = {
                one: max(passed[one], tally.places.get(one, 0)) for one in {*passed, *tally.places}
            }
            self._points.unlink()
        self._check(verb, names, target, said)
        if not done and self._random.random() < 0.5:
            began = time.monotonic()
            self._work(verb, names, target)
            tally.took_s.append(time.monotonic() - began)
            said = self._log.read_bytes()
            assert said.endswith(DONE)
            self._check(verb, names, target, said)

    def _some(self, names: Iterable[str]) -> list[str]:
        pool = sorted(names)
        return self._random.sample(pool, min(len(pool), self._random.randint(1, 8)))

    def _fork(self, work: Callable[[], None], end: Place) -> int:
        sys.stdout.flush()
        child = os.fork()
        if child:
            return child
        try:
            die_at(end, self._points)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _say(self, line: bytes) -> None:
        """Acknowledge something; a kill loses nothing that was written to a file."""
        with self._log.open("ab") as log:
            log.write(line)

    def _work(self, verb: str, names: list[str], target: str) -> None:
        """Do what the child does."""

        def acknowledging(batch: Batch, model_id: str) -> tuple[list[Track], list[Track]]:
            added, replaced = add(batch, model_id)
            self._say(b"".join(f"{track.title}\n".encode() for track in added))
            return added, replaced

        with Library(self._library, encoder=ToyEncoder(self._model), settings=SETTINGS) as library:
            add = library._store.add
            library._store.add = acknowledging  # type: ignore[method-assign]
            if verb == "add":
                library.add(*[path for path in self._files if path.stem in names])
            elif verb == "remove":
                present = {track.title for track in library.tracks()}
                library.remove(*[name for name in names if name in present])
            elif verb == "compact":
                library.compact()
            else:
                assert library.rebuild(encoder=ToyEncoder(target)).switched
        self._say(DONE)

    def _wait_and_look(self, child: int, until: float) -> None:
        """Read while the child works, until it is time to end it."""
        now = time.monotonic()
        time.sleep(self._random.uniform(0, min(until - now, 0.2)) if until > now else 0)
        if (self._library / "catalogue.sqlite").exists():
            with suppress_beginning(), Library(self._library, create=False) as reader:
                self._whole(reader)
        while (
            time.monotonic() < until
            and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        ):
            time.sleep(0.001)

    def _whole(self, library: Library) -> tuple[str | None, set[str]]:
        """See that every track is whole and of one model; return the model and the tracks' titles."""
        view = library._views.current()
        assert not view.damaged, view.damaged
        model = view.meta.get("model_id", "").removeprefix("toy-") or None
        for entry, track in enumerate(view.tracks):
            assert checksum_of(view.stored_rows(entry)) == self._expected[str(model), track.title], (
                f"{track.title} is not itself"
            )
        titles = [track.title for track in view.tracks]
        assert len(set(titles)) == len(titles), "a recording is there twice"
        return model, set(titles)

    def _check(self, verb: str, names: list[str], target: str, said: bytes) -> None:
        """Check all that must hold after a child is dead; take over what it did."""
        done = said.endswith(DONE)
        with Library(self._library) as library:
            model, live = self._whole(library)
            report = library.verify()
            assert report.sound, report
            assert report.tracks == len(live)
            library.remove()  # removes nothing, but is a writer
            stored = {file.name for file in (self._library / "segments").glob("*")}
            assert stored == library._store.catalogue.segment_files(), "files are left over or missing"
        if verb == "add":
            acknowledged = set(said.decode().split()) - {"done"}
            least, most = self._live | acknowledged, self._live | set(names)
            assert least <= live <= most, f"lost {least - live}, extra {live - most}"
            assert not done or live == most
        elif verb == "remove":
            assert live in ([self._live - set(names)] if done else [self._live, self._live - set(names)])
        else:
            assert live == self._live, f"lost {self._live - live}, extra {live - self._live}"
        if verb == "rebuild":
            assert model in ([target] if done else [self._model, target])
        else:
            assert model in (self._model, None)
        self._live, self._model = live, model or self._model


class suppress_beginning(suppress):  # noqa: N801 - reads like `suppress`
    """Passes over the error of a library whose catalogue is just being made, and no other."""

    def __init__(self) -> None:
        super().__init__(Exception)

    def __exit__(self, kind, error, trace) -> bool:  # type: ignore[no-untyped-def, override]
        return kind is not None and "is empty; add recordings" in str(error)


def digest_of(model: str, path: Path) -> str:
    """Checksum of a recording's stored fingerprints."""
    from earprint.audio import stream_audio

    encoder = ToyEncoder(model)
    return checksum_of(pack(encoder.encode(stream_audio(path)), new_storage(encoder, None)))


def torment(
    folder: Path, kills: int, seed: int, on_step: Callable[[int], None] = lambda killed: None
) -> dict[str, Tally]:
    """Go on until so many children were killed on the way; raises AssertionError if anything is lost."""
    trial = Trial(folder, seed)
    while (killed := sum(tally.killed for tally in trial.tallies.values())) < kills:
        on_step(killed)
        trial.step()
    return trial.tallies


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="children to end on the way")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tallies = torment(
            Path(folder),
            options.kills,
            options.seed,
            lambda killed: print(f"\r{killed}/{options.kills}", end="", file=sys.stderr, flush=True),
        )
    print(file=sys.stderr)
    print(
        f"{options.kills} kills in {time.monotonic() - began:.0f} s, seed {options.seed}, "
        f"{time.strftime('%Y-%m-%d')}; after each, all invariants held\n"
    )
    print("| verb | children | killed on the way | undisturbed, median ms |")
    print("|---|---|---|---|")
    for verb, tally in tallies.items():
        middle = 1000 * float(np.median(tally.took_s)) if tally.took_s else float("nan")
        print(f"| {verb} | {tally.begun} | {tally.killed} | {middle:.0f} |")


if __name__ == "__main__":
    main()
