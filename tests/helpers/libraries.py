"""Small libraries of synthetic tunes."""

import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import earprint
from earprint.library import Library, Settings
from earprint.store.segments import checksum_of
from helpers.codebooks import random_codebook
from helpers.fake_encoder import DIM, RATE, FakeEncoder, tune, write_wav

SECONDS = 2.5
ROWS = 20
"""Stored vectors of a tune of `SECONDS`."""

ONE_COMMIT = Settings(first_commit_s=1e6, longest_commit_s=1e6)
"""One call makes one segment, however slow the machine is."""

COMMIT_EACH = Settings(longest_commit_s=0.0)
"""Every file is a commit."""


class OtherEncoder(FakeEncoder):
    """Another model: another projection, and a grid twice as coarse."""

    name = "other"
    reference_hop_s = 0.16

    def __init__(self, model_id="other-0002"):
        super().__init__(model_id)
        self._projection = -self._projection[:, ::-1]

    def encode(self, blocks, *, query=False):
        made = super().encode(blocks, query=query)
        if query:
            return made
        return type(made)(made.vectors[::2], self.reference_hop_s, made.duration_s)


class CompactEncoder(FakeEncoder):
    """A model with a codebook, whose codes are fine enough for made-up tunes."""

    def __init__(self, model_id="fake-0001", seed=0, thresholds=None):
        super().__init__(model_id)
        self.codebook = random_codebook(
            dim=DIM, pieces=DIM, n_lists=20, seed=seed, model_id=model_id, thresholds=thresholds
        )


def write_music(folder, seeds):
    folder.mkdir(exist_ok=True)
    return [write_wav(folder / f"tune {i}.wav", tune(i, SECONDS)) for i in seeds]


def open_library(path, encoder=None, settings=ONE_COMMIT, **options):
    return Library(path, encoder=encoder or FakeEncoder(), settings=settings, **options)


def grown(path, music, seeds, settings=ONE_COMMIT):
    """A library to which each tune was added by itself: as many segments as tunes."""
    opened = open_library(path, settings=settings)
    for file in write_music(music, seeds):
        opened.add(file)
    return opened


def excerpt(seed):
    return tune(seed, SECONDS)[: int(1.8 * RATE)]


def finds(library, seed):
    """Whether an excerpt of a tune is recognised as that tune."""
    match = library.identify(excerpt(seed), sample_rate=RATE).match
    return match is not None and match.track.title == f"tune {seed}"


def content(library):
    """Every live track with the checksum of its rows, by number."""
    view = library._views.current()
    found = {}
    for entry, track in enumerate(view.tracks):
        found[track.id] = (track, checksum_of(view.stored_rows(entry)))
    return found


def segment_names(path):
    return sorted(file.name for file in (path / "segments").iterdir())


def script_environment():
    """Environment in which a process can import earprint and the tests' helpers."""
    paths = [str(Path(earprint.__file__).parents[1]), str(Path(__file__).parents[1]), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run_script(script, *arguments, prefix=()):
    """Run a script in a process of its own that can import earprint and the tests' helpers."""
    return subprocess.run(
        [*prefix, sys.executable, "-c", "import os, signal, sys\n" + textwrap.dedent(script)]
        + [str(argument) for argument in arguments],
        env=script_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


HOLDER = """
    from pathlib import Path
    from earprint.store.writer_lock import writing
    with writing(Path(sys.argv[1])):
        print(os.getpid(), flush=True)
        sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path):
    """Let another process hold the writer lock of a library; gives its number."""
    holder = subprocess.Popen(
        [sys.executable, "-c", "import os, sys\n" + textwrap.dedent(HOLDER), str(path)],
        env=script_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        yield int(holder.stdout.readline())
        holder.stdin.close()
