"""Libraries of every format version ever released are opened, searched and changed by today's code."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from earprint.encoders.base import Fingerprints
from earprint.library import Library
from earprint.quantization.codebook import read_codebook
from helpers.fake_encoder import RATE, FakeEncoder, tune

FROZEN = sorted(path for path in (Path(__file__).parent / "frozen").iterdir() if path.is_dir())


class Replayed(FakeEncoder):
    """Gives a stored query's fingerprints, so that frozen libraries do not hang on the fake encoder."""

    def __init__(self, vectors, hop_s, duration_s, codebook):
        super().__init__()
        self.codebook = codebook
        self._query = Fingerprints(vectors.astype(np.float32), hop_s, duration_s)

    def encode(self, blocks, *, query=False):
        return self._query if query else super().encode(blocks)


@pytest.fixture(params=FROZEN, ids=lambda folder: folder.name)
def frozen(request, tmp_path):
    expected = json.loads((request.param / "expected.json").read_text(encoding="utf-8"))
    shutil.copytree(request.param / "library", tmp_path / "library")
    query = np.load(request.param / "query.npy")
    book = request.param / "fake.codebook.npz"
    codebook = read_codebook(book) if book.exists() else None
    encoder = Replayed(query, expected["hop_s"], expected["query_duration_s"], codebook)
    return tmp_path / "library", encoder, expected


def check(library, expected):
    assert [track.to_dict() for track in library.tracks()] == expected["tracks"]
    match = library.identify(tune(0), sample_rate=RATE).match
    assert match.track.title == expected["match"]
    assert match.start_s == pytest.approx(expected["start_s"], abs=0.02)


def test_it_is_read(frozen):
    folder, encoder, expected = frozen
    with Library(folder, create=False, encoder=encoder) as library:
        check(library, expected)
        info = library.info()
        assert (info.removed, info.segments) == (expected["removed"], expected["segments"])
        assert library.verify().sound


def test_it_is_changed(frozen):
    folder, encoder, expected = frozen
    with Library(folder, create=False, encoder=encoder) as library:
        added = library.add_audio(tune(77, 3.0)[: 3 * RATE], sample_rate=RATE, title="new")
        assert added.id > max(track["id"] for track in expected["tracks"])
        library.remove("new")
        assert library.compact().segments_after == 1
        check(library, expected)
        assert library.verify().sound


def test_its_damage_is_seen_and_the_rest_is_served(frozen):
    folder, encoder, expected = frozen
    (first,) = (folder / "segments").glob("000001.*")
    first.write_bytes(first.read_bytes()[:-1])
    with Library(folder, create=False, encoder=encoder) as library:
        assert library.identify(tune(0), sample_rate=RATE).match.track.title == expected["match"]
        report = library.verify()
        assert [problem.track.title for problem in report.damaged] == [expected["tracks"][0]["title"]]
        repaired = library.repair()  # its file is nowhere
        assert [problem.track.title for problem in repaired.lost] == [expected["tracks"][0]["title"]]
        check(library, expected)


def test_its_fingerprints_can_be_taken_out(frozen, tmp_path):
    folder, encoder, expected = frozen
    with Library(folder, create=False, encoder=encoder) as library:
        library.export(tmp_path / "out.npz")
    with Library(tmp_path / "new", encoder=encoder) as other:
        assert len(other.import_file(tmp_path / "out.npz").added) == len(expected["tracks"])
        assert other.identify(tune(0), sample_rate=RATE).match.track.title == expected["match"]
