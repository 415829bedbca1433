"""The library against a plain dictionary, under random additions, removals, compactings and reopenings."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from earprint.library import ingest
from earprint.library.compatibility import new_storage
from earprint.store import compaction
from earprint.store.segments import checksum_of
from helpers.fake_encoder import FakeEncoder, tune, write_wav
from helpers.libraries import ONE_COMMIT, CompactEncoder, OtherEncoder, content, open_library

TUNES = 8
LENGTH_S = 1.2
SETTINGS = replace(ONE_COMMIT, many_small=3)


class LibraryMachine(RuleBasedStateMachine):
    """Whatever is done, the library holds what the dictionary holds, with the very same vectors."""

    new_encoder = FakeEncoder

    def __init__(self):
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name)
        self._files = {}
        for number in range(TUNES):
            name = f"tune {number}"
            self._files[name] = write_wav(self._path / f"{name}.wav", TUNE_AUDIO[number])
        self._encoder = self.new_encoder()
        self._plain = {}  # number: (title, date)
        self._largest = 0
        self._library = open_library(self._path / "lib", self._encoder, SETTINGS)

    def teardown(self):
        self._library.close()
        self._folder.cleanup()

    @rule(numbers=st.lists(st.integers(0, TUNES - 1), min_size=1, max_size=4))
    def add(self, numbers):
        report = self._library.add(*[self._files[f"tune {number}"] for number in numbers])
        assert {t.title for t in report.added} == {f"tune {n}" for n in numbers} - self._titles()
        for track in report.added:
            assert track.id > self._largest
            self._largest = track.id
            self._plain[track.id] = (track.title, track.added_at)
        if report.added:  # what tells at once whether compacting pays has missed nothing
            usage = self._library._store.catalogue.usage()
            assert compaction.next_group(*usage, (), SETTINGS, thorough=False) == []

    @precondition(lambda self: self._plain)
    @rule(data=st.data())
    def remove(self, data):
        chosen = data.draw(
            st.lists(st.sampled_from(sorted(self._plain)), min_size=1, max_size=3, unique=True)
        )
        self._library.remove(*chosen)
        for number in chosen:
            del self._plain[number]

    @rule()
    def compact(self):
        self._library.compact()
        assert self._library.info().segments == (1 if self._plain else 0)
        assert self._library.info().removed == 0

    @rule()
    def reopen(self):
        self._library.close()
        self._library = open_library(self._path / "lib", self._encoder, SETTINGS)

    @rule()
    def rebuild(self):
        other = self.new_encoder() if isinstance(self._encoder, OtherEncoder) else OtherEncoder()
        assert self._library.rebuild(encoder=other).switched
        self._encoder = other

    @precondition(lambda self: self._plain)
    @rule()
    def export_and_import(self):
        file = self._path / "out.npz"
        file.unlink(missing_ok=True)
        self._library.export(file)
        with open_library(self._path / "copy", self._encoder) as copy:
            added = copy.import_file(file).added
            assert sorted(track.title for track in added) == sorted(self._titles())
            copy.remove(*[track.id for track in added])
            copy.compact()
            copy.rebuild(encoder=self.new_encoder())
        for left in sorted((self._path / "copy").rglob("*"), reverse=True):
            left.unlink() if left.is_file() else left.rmdir()

    @invariant()
    def the_same_tracks_with_the_same_vectors(self):
        found = content(self._library)
        assert {i: (track.title, track.added_at) for i, (track, _) in found.items()} == self._plain
        for track, digest in found.values():
            assert digest == expected_digest(self._encoder, track.title)
        assert self._library.verify().sound

    def _titles(self):
        return {title for title, _ in self._plain.values()}


TUNE_AUDIO = [tune(number, LENGTH_S) for number in range(TUNES)]
_digests = {}


def expected_digest(encoder, title):
    key = encoder.model_id, encoder.codebook is None, title
    if key not in _digests:
        audio = np.clip(TUNE_AUDIO[int(title.split()[1])], -1, 1)
        audio = np.round(audio * 32767).astype("<i2").astype(np.float32) / 32768
        _digests[key] = checksum_of(ingest.pack(encoder.encode([audio]), new_storage(encoder, None)))
    return _digests[key]


LibraryMachine.TestCase.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLibrary = LibraryMachine.TestCase


class CompactLibraryMachine(LibraryMachine):
    """The same of a compact library."""

    new_encoder = CompactEncoder


CompactLibraryMachine.TestCase.settings = LibraryMachine.TestCase.settings
TestCompactLibrary = pytest.mark.slow(CompactLibraryMachine.TestCase)
