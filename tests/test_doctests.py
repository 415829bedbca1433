"""The examples in docstrings and documentation run, and every public name has one."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import earprint
from earprint.audio.wav import write_wav
from earprint.constants import SAMPLE_RATE
from earprint.dsp.snr import add_noise
from earprint.dsp.synthetic_noise import babble_noise
from earprint.synth.composer import compose

MODULES = [
    "earprint",
    "earprint.audio.arrays",
    "earprint.encoders.base",
    "earprint.encoders.embed",
    "earprint.encoders.model_file",
    "earprint.encoders.registry",
    "earprint.errors",
    "earprint.index.base",
    "earprint.index.factory",
    "earprint.index.rows",
    "earprint.library.library",
    "earprint.library.results",
    "earprint.quantization.codebook",
    "earprint.quantization.storage",
    "earprint.store.results",
]
"""Modules whose examples run."""

DOCS = Path(__file__).parents[1] / "docs"

PAGES = ["api.md", "how-to/add-an-index.md", "how-to/use-another-encoder.md"]
"""Pages of the documentation whose examples run."""

FENCE = re.compile("^```.*$", re.MULTILINE)
"""Fences of code blocks, which would count as output."""

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder with two recordings of 12 s in ``music`` and, with noise, 5 s of one from 4 s on."""
    folder = tmp_path_factory.mktemp("doctests")
    (folder / "music").mkdir()
    songs = [compose(seed, 12.0) for seed in range(2)]
    for number, song in enumerate(songs):
        write_wav(folder / f"music/song {number}.wav", song)
    noise = babble_noise(5 * SAMPLE_RATE, seed=1)
    write_wav(folder / "noisy-clip.wav", add_noise(songs[1][4 * SAMPLE_RATE : 9 * SAMPLE_RATE], noise, 10.0))
    return folder


@pytest.fixture
def folder(recordings, tmp_path, monkeypatch):
    """An empty working folder with the recordings linked into it."""
    for name in ("music", "noisy-clip.wav"):
        (tmp_path / name).symlink_to(recordings / name)
    monkeypatch.chdir(tmp_path)


def examples():
    """The examples of each docstring; every one has a working folder of its own."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for module in MODULES for test in finder.find(importlib.import_module(module))]
    return [test for test in found if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
@pytest.mark.usefixtures("folder")
def test_examples_of_a_docstring(example):
    assert doctest.DocTestRunner(optionflags=OPTIONS).run(example).failed == 0


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("folder")
def test_examples_of_a_page(page):
    text = FENCE.sub("", (DOCS / page).read_text(encoding="utf-8"))
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(test)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_public_name_has_an_example():
    without = set()
    assert earprint.__all__
    for name in earprint.__all__:
        found = getattr(earprint, name)
        if isinstance(found, str) or (inspect.isclass(found) and issubclass(found, Exception)):
            continue
        if ">>>" not in (inspect.getdoc(found) or ""):
            without.add(name)
    assert not without


def test_every_method_of_a_library_has_an_example():
    methods = [name for name in vars(earprint.Library) if not name.startswith("_")]
    without = {
        name for name in methods if ">>>" not in (inspect.getdoc(getattr(earprint.Library, name)) or "")
    }
    assert not without
