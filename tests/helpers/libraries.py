"""Small libraries of made-up tunes for the tests that look after them."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import earprint
from earprint.library import Library
from earprint.store.segments import checksum_of
from helpers.codebooks import random_codebook
from helpers.fake_encoder import DIM, RATE, FakeEncoder, tune, write_wav

SECONDS = 2.5
ROWS = 20
"""Stored vectors of a tune of `SECONDS`."""


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


def open_library(path, encoder=None, **options):
    return Library(path, encoder=encoder or FakeEncoder(), **options)


def grown(path, music, seeds):
    """A library to which each tune was added by itself: as many segments as tunes."""
    opened = open_library(path)
    for file in write_music(music, seeds):
        opened.add(file)
    return opened


def excerpt(seed):
    return tune(seed, SECONDS)[: int(1.8 * RATE)]


def finds(library, seed):
    """Whether an excerpt of a tune is recognised as that tune."""
    match = library.identify(excerpt(seed)).match
    return match is not None and match.track.title == f"tune {seed}"


def content(library):
    """Every live track with a digest of its vectors, by number: what an acknowledged track must keep."""
    view = library._refresh()
    found = {}
    for entry, track in enumerate(view.tracks):
        found[track.id] = (track, checksum_of(view.stored_rows(entry)))
    return found


def segment_names(path):
    return sorted(file.name for file in (path / "segments").iterdir())


def run_script(script, *arguments, prefix=()):
    """Run a script in a process of its own that can import earprint and the tests' helpers."""
    paths = [str(Path(earprint.__file__).parents[1]), str(Path(__file__).parents[1]), *sys.path]
    return subprocess.run(
        [*prefix, sys.executable, "-c", "import os, signal, sys\n" + textwrap.dedent(script)]
        + [str(argument) for argument in arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
