"""Crash safety: kills a process that writes a library, hundreds of times, and checks that nothing is lost.

    python benchmarks/crash.py --kills 300

Needs no data, and a system with `fork`. Prints a line for each verb: processes started and killed, and the
median time of an undisturbed one. Stops with an AssertionError if anything is lost.

A child process adds, removes, compacts or rebuilds, and is ended by SIGKILL. Half of the kills come after a
random time, half just before or after something reaches the disk (a flush, rename, deletion or commit),
because random times rarely hit the moments between two of those. After each kill:

- everything that was there before, or that the child acknowledged, is there with the same fingerprints;
  what the child had begun is there whole or not at all;
- a removal has removed all its tracks or none, a rebuild has switched all tracks or none;
- `verify` finds no damage, and no file is left over once the next writer has worked;
- a reader that looks while the child works sees whole tracks of one model only;
- the next command works, and the same command completes what was interrupted.

The encoder is small (`fault_injection.ToyEncoder`), so that most of the time goes into writing. SIGKILL
does not test a loss of power; the library relies on flushing before it renames and commits.
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

from common import machine, print_header, print_row
from earprint.audio.wav import write_wav
from earprint.constants import SAMPLE_RATE
from earprint.library import Library, Settings, Track
from earprint.library.compatibility import new_storage
from earprint.library.ingest import pack
from earprint.store.segments import checksum_of
from earprint.store.store import Batch
from fault_injection import Place, ToyEncoder, kill_at

FILES = 40
"""Recordings to add and remove."""

SECONDS = 2.0
"""Length of a recording, in seconds."""

SETTINGS = Settings(first_commit_s=0.0, longest_commit_s=0.0, many_small=8)
"""Every file is a commit, for many places to kill at."""

VERBS = ("add", "remove", "compact", "rebuild")

DONE = b"done\n"
"""Last line that a child writes."""


@dataclass
class Tally:
    """Results of one verb.

    Attributes
    ----------
    begun, killed : int
        Children, and those that were killed before their end.
    places : dict of str to int
        Places in the program where the disk changes, and how often a child passes each at most.
    took_s : list of float
        Times of undisturbed children, in seconds.
    """

    begun: int = 0
    killed: int = 0
    places: dict[str, int] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)


class CrashTest:
    """A library whose writers are killed, and what it must contain.

    Parameters
    ----------
    folder : Path
        Empty; recordings and library are written there.
    seed : int
        Of the random choices; kills after a time also depend on the machine's load.
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
        """Start a child, kill it, and check everything."""
        verb = self._random.choice(VERBS)
        names: list[str] = []
        if verb == "add" or not self._live:
            verb, names = "add", self._sample({path.stem for path in self._files} - self._live)
        elif verb == "remove":
            names = self._sample(self._live)
        tally = self.tallies[verb]
        usual_s = max(tally.took_s[-5:], default=0.2)
        target = {"one": "two", "two": "one"}[self._model]
        self._log.unlink(missing_ok=True)
        began = time.monotonic()
        any_moment = self._random.random() < 0.5
        # Every place that changes the disk is equally likely, however often the child passes it.
        place = self._random.choice(sorted(tally.places) or [""])
        end = ("", 0) if any_moment else (place, self._random.randint(1, tally.places.get(place, 1)))
        child = self._fork(lambda: self._work(verb, names, target), end)
        try:
            wait_s = self._random.uniform(0, 1.05) * usual_s if any_moment else 60
            self._read_and_wait(child, began + wait_s)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        log_text = self._log.read_bytes() if self._log.exists() else b""
        tally.begun += 1
        done = log_text.endswith(DONE)
        tally.killed += not done
        if done:
            tally.took_s.append(time.monotonic() - began)
        if self._points.exists():
            passed = Counter(self._points.read_text().splitlines())
            tally.places = {
                one: max(passed[one], tally.places.get(one, 0)) for one in {*passed, *tally.places}
            }
            self._points.unlink()
        self._check(verb, names, target, log_text)
        if not done and self._random.random() < 0.5:
            began = time.monotonic()
            self._work(verb, names, target)
            tally.took_s.append(time.monotonic() - began)
            log_text = self._log.read_bytes()
            assert log_text.endswith(DONE)
            self._check(verb, names, target, log_text)

    def _sample(self, names: Iterable[str]) -> list[str]:
        pool = sorted(names)
        return self._random.sample(pool, min(len(pool), self._random.randint(1, 8)))

    def _fork(self, work: Callable[[], None], end: Place) -> int:
        sys.stdout.flush()
        child = os.fork()
        if child:
            return child
        try:
            kill_at(end, self._points)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _acknowledge(self, line: bytes) -> None:
        """Write a line to the log; a kill does not lose what was written."""
        with self._log.open("ab") as log:
            log.write(line)

    def _work(self, verb: str, names: list[str], target: str) -> None:
        """Run a verb, in the child."""

        def acknowledging(batch: Batch, model_id: str) -> tuple[list[Track], list[Track]]:
            added, replaced = add(batch, model_id)
            self._acknowledge(b"".join(f"{track.title}\n".encode() for track in added))
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
        self._acknowledge(DONE)

    def _read_and_wait(self, child: int, until: float) -> None:
        """Read the library while the child works, until it is time to kill it."""
        now = time.monotonic()
        time.sleep(self._random.uniform(0, min(until - now, 0.2)) if until > now else 0)
        if (self._library / "catalogue.sqlite").exists():
            with suppress_empty_catalogue(), Library(self._library, create=False) as reader:
                self._check_tracks(reader)
        while (
            time.monotonic() < until
            and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        ):
            time.sleep(0.001)

    def _check_tracks(self, library: Library) -> tuple[str | None, set[str]]:
        """Check that every track is whole and of one model; return the model and the tracks' titles."""
        view = library._views.current()
        assert not view.damaged, view.damaged
        model = view.meta.get("model_id", "").removeprefix("toy-") or None
        for entry, track in enumerate(view.tracks):
            assert checksum_of(view.stored_rows(entry)) == self._expected[str(model), track.title], (
                f"{track.title} has other fingerprints"
            )
        titles = [track.title for track in view.tracks]
        assert len(set(titles)) == len(titles), "a recording is in the library twice"
        return model, set(titles)

    def _check(self, verb: str, names: list[str], target: str, log_text: bytes) -> None:
        """Check everything that must hold after a child ended; remember what it did."""
        done = log_text.endswith(DONE)
        with Library(self._library) as library:
            model, live = self._check_tracks(library)
            report = library.verify()
            assert report.sound, report
            assert report.tracks == len(live)
            library.remove()  # removes no track, but opens the library as a writer
            stored = {file.name for file in (self._library / "segments").glob("*")}
            assert stored == library._store.catalogue.segment_files(), "files are left over or missing"
        if verb == "add":
            acknowledged = set(log_text.decode().split()) - {"done"}
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


class suppress_empty_catalogue(suppress):  # noqa: N801 - named like `suppress`
    """Suppresses the error of a library whose catalogue is just being created, and no other."""

    def __init__(self) -> None:
        super().__init__(Exception)

    def __exit__(self, kind, error, trace) -> bool:  # type: ignore[no-untyped-def, override]
        return kind is not None and "is empty; add recordings" in str(error)


def digest_of(model: str, path: Path) -> str:
    """Return the checksum of a recording's stored fingerprints."""
    from earprint.audio import stream_audio

    encoder = ToyEncoder(model)
    return checksum_of(pack(encoder.encode(stream_audio(path)), new_storage(encoder, None)))


def run_crash_test(
    folder: Path, kills: int, seed: int, on_step: Callable[[int], None] = lambda killed: None
) -> dict[str, Tally]:
    """Run until this many children were killed; raise AssertionError if anything is lost."""
    test = CrashTest(folder, seed)
    while (killed := sum(tally.killed for tally in test.tallies.values())) < kills:
        on_step(killed)
        test.step()
    return test.tallies


def main() -> None:
    """Run the test and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="children to kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tallies = run_crash_test(
            Path(folder),
            options.kills,
            options.seed,
            lambda killed: print(f"\r{killed}/{options.kills}", end="", file=sys.stderr, flush=True),
        )
    print(file=sys.stderr)
    print(
        f"{options.kills} kills in {time.monotonic() - began:.0f} s, seed {options.seed}; {machine()}; "
        "everything held after each\n"
    )
    print_header("verb", "children", "killed", "undisturbed, median ms")
    for verb, tally in tallies.items():
        median_ms = 1000 * float(np.median(tally.took_s)) if tally.took_s else float("nan")
        print_row(verb, tally.begun, tally.killed, f"{median_ms:.0f}")


if __name__ == "__main__":
    main()
