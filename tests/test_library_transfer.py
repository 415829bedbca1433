import json
import zipfile

import numpy as np
import pytest

from earprint.errors import LibraryError, ModelError
from earprint.library import Library, Settings
from earprint.store import store
from helpers.fake_encoder import DIM, RATE, tune, write_wav
from helpers.libraries import (
    ROWS,
    SECONDS,
    OtherEncoder,
    content,
    finds,
    open_library,
    segment_names,
    write_music,
)


@pytest.fixture
def library(tmp_path):
    with open_library(tmp_path / "lib") as opened:
        opened.add(*write_music(tmp_path / "music", range(4)))
        silence = np.zeros(32_000, np.float32)
        opened.add_audio(np.concatenate([tune(9, 1.5), silence]), RATE, title="Grüße 音")
        opened.remove("tune 3")
        yield opened


@pytest.fixture
def exported(library, tmp_path):
    file = tmp_path / "some.npz"
    library.export(file)
    return file


def vectors_of(library):
    """Digests of the live tracks' vectors, by what does not depend on the library."""
    return {
        (t.title, t.artist, t.duration_s, t.content_hash): digest for t, digest in content(library).values()
    }


def rewrite(file, change, vectors=None):
    """Write a portable file anew with another header or other vectors."""
    with np.load(file) as arrays:
        header = json.loads(arrays["header"].tobytes())
        stored = arrays["vectors"]
    change(header)
    encoded = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(file, header=encoded, vectors=stored if vectors is None else vectors(stored))


def test_there_and_back(library, exported, tmp_path):
    with open_library(tmp_path / "new") as other:
        report = other.import_file(exported)
        assert (len(report.added), report.skipped) == (4, 0)
        assert vectors_of(other) == vectors_of(library)
        assert {t.path for t in other.tracks()} == {None}
        assert all(finds(other, i) for i in range(3))
        assert other.info().model_id == "fake-0001"
        assert other.verify().sound


def test_the_layout_is_the_documented_one(exported, tmp_path):
    with np.load(exported, allow_pickle=False) as arrays:
        assert set(arrays) == {"header", "vectors"}
        header = json.loads(bytes(arrays["header"]))
        vectors = arrays["vectors"]
    assert (header["format"], header["version"]) == ("earprint fingerprints", 1)
    assert (header["model_id"], header["dim"], header["reference_hop_s"]) == ("fake-0001", 32, 0.08)
    assert (vectors.dtype, vectors.shape) == (
        np.dtype("<f2"),
        (sum(t["n_rows"] for t in header["tracks"]), 32),
    )
    assert header["tracks"][0]["title"] == "tune 0"
    assert header["tracks"][0]["duration_s"] == SECONDS
    assert "path" not in header["tracks"][0]
    assert str(tmp_path) not in json.dumps(header)


def test_an_import_needs_no_model(exported, tmp_path):
    with Library(tmp_path / "new", model="none such") as other:
        assert len(other.import_file(exported).added) == 4


def test_paths_are_exported_on_request(library, tmp_path):
    library.export(tmp_path / "x.npz", with_paths=True)
    with open_library(tmp_path / "new") as other:
        other.import_file(tmp_path / "x.npz")
        assert {t.path for t in other.tracks()} == {t.path for t in library.tracks()}
        assert other.rebuild().missing[0].track.title == "Grüße 音"


def test_known_content_is_passed_over_and_comes_once(library, exported, tmp_path):
    def twice(header):
        header["tracks"] += header["tracks"][:1]

    rewrite(exported, twice, lambda stored: np.concatenate([stored, stored[:ROWS]]))
    before = content(library)
    library.remove("tune 1")
    report = library.import_file(exported)
    assert ([t.title for t in report.added], report.skipped) == (["tune 1"], 4)
    assert {digest for _, digest in content(library).values()} == {digest for _, digest in before.values()}
    names = segment_names(tmp_path / "lib")
    assert library.import_file(exported).added == []
    assert segment_names(tmp_path / "lib") == names


def test_another_model_or_grid_is_refused(exported, tmp_path):
    with open_library(tmp_path / "new", OtherEncoder()) as other:
        other.add(*write_music(tmp_path / "music", [0]))
        with pytest.raises(ModelError, match=r"was made by model fake-0001, and .* by other-0002"):
            other.import_file(exported)
    rewrite(exported, lambda header: header.update(reference_hop_s=0.16))
    with (
        open_library(tmp_path / "lib") as library,
        pytest.raises(ModelError, match="another grid"),
    ):
        library.import_file(exported)


def first_vector(value):
    def change(stored):
        stored[0] = value
        return stored

    return change


@pytest.mark.parametrize(
    ("change", "vectors", "message"),
    [
        (lambda h: h.update(format="other"), None, "another format"),
        (lambda h: h.update(version=9), None, "version 9, which a newer earprint made; upgrade"),
        (lambda h: h.pop("dim"), None, "'dim'"),
        (lambda h: h.update(reference_hop_s="inf"), None, "an impossible model"),
        (lambda h: h["tracks"][0].update(title=None), None, "a track's title is None"),
        (lambda h: h["tracks"][0].update(n_rows=0), None, "a track of 0 fingerprints"),
        (lambda h: h["tracks"][0].update(n_rows=3), None, "the vectors have shape"),
        (lambda h: h["tracks"].pop(), None, "the vectors have shape"),
        (lambda h: None, lambda v: v.astype(np.float32), "type float32"),
        (lambda h: None, lambda v: v[::-1], "its checksum is wrong"),
        (lambda h: h["tracks"][0].update(checksum=None), None, "a track's checksum is None"),
        (lambda h: None, first_vector(np.nan), "its checksum is wrong"),
    ],
)
def test_what_is_not_right_is_refused_whole(exported, tmp_path, change, vectors, message):
    rewrite(exported, change, vectors)
    with open_library(tmp_path / "new") as other:
        with pytest.raises(LibraryError, match=message) as caught:
            other.import_file(exported)
        assert str(exported) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert other.tracks() == []
        assert other.info().model_id is None
        assert not (tmp_path / "new" / "segments").exists()


def test_vectors_that_are_no_unit_vectors_are_refused(exported, tmp_path):
    from earprint.store.segments import checksum_of

    with np.load(exported) as arrays:
        vectors = arrays["vectors"]
    vectors[0] *= 2
    rewrite(
        exported,
        lambda header: header["tracks"][0].update(checksum=checksum_of(vectors[:ROWS])),
        lambda _: vectors,
    )
    with open_library(tmp_path / "new") as other, pytest.raises(LibraryError, match="no unit vectors"):
        other.import_file(exported)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_damage_of_the_file_is_seen(exported, tmp_path, place):
    data = bytearray(exported.read_bytes())
    data[int(len(data) * place)] ^= 16
    exported.write_bytes(data)
    with open_library(tmp_path / "new") as other:
        with pytest.raises(LibraryError, match="is no sound file of exported fingerprints"):
            other.import_file(exported)
        exported.write_bytes(data[: int(len(data) * place)])
        with pytest.raises(LibraryError, match="is no sound file of exported fingerprints"):
            other.import_file(exported)
        assert other.tracks() == []


def test_a_compressed_file_is_read_too(exported, tmp_path):
    with np.load(exported) as arrays:
        np.savez_compressed(tmp_path / "small.npz", **arrays)
    assert zipfile.ZipFile(tmp_path / "small.npz").infolist()[0].compress_type == zipfile.ZIP_DEFLATED
    with open_library(tmp_path / "new") as other:
        assert len(other.import_file(tmp_path / "small.npz").added) == 4


def test_an_export_is_written_whole_or_not_at_all(library, exported, tmp_path, monkeypatch):
    with pytest.raises(LibraryError, match="exists already; name another file"):
        library.export(exported)
    with pytest.raises(LibraryError, match="cannot be written"):
        library.export(tmp_path / "no such folder" / "x.npz")
    segment = tmp_path / "lib" / "segments" / "000001.f16"
    data = bytearray(segment.read_bytes())
    data[3 * ROWS * 64 - 1] ^= 1  # in the third track
    segment.write_bytes(data)
    with pytest.raises(LibraryError, match=r"damaged recording, tune 2 .*run `earprint repair`"):
        library.export(tmp_path / "y.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lib", "music", "some.npz"]
    with open_library(tmp_path / "empty") as empty, pytest.raises(LibraryError, match="no recordings"):
        empty.export(tmp_path / "y.npz")


def test_merge(library, tmp_path):
    with open_library(tmp_path / "new") as other:
        other.add(*write_music(tmp_path / "more", [0, 7]))
        report = other.merge(tmp_path / "lib")
        assert ([t.title for t in report.added], report.skipped) == (["tune 1", "tune 2", "Grüße 音"], 1)
        assert all(finds(other, i) for i in (0, 1, 2, 7))
        assert other.tracks()[2].path == str(tmp_path / "music" / "tune 1.wav")
        assert other.verify().sound
        with pytest.raises(LibraryError, match="this very library"):
            other.merge(tmp_path / "new")
        with pytest.raises(LibraryError, match="no earprint library"):
            other.merge(tmp_path / "nowhere")
    with open_library(tmp_path / "third", OtherEncoder()) as third:
        assert len(third.merge(tmp_path / "new").added) == 5  # an empty library takes the other's model
        with pytest.raises(ModelError, match="made by model fake-0001"):
            third.identify(tune(0), sample_rate=RATE)


def test_two_recordings_of_one_path_are_both_kept(library, tmp_path):
    write_wav(tmp_path / "music" / "tune 0.wav", tune(50, SECONDS))
    with open_library(tmp_path / "new") as other:
        other.add(tmp_path / "music" / "tune 0.wav")
        other.merge(tmp_path / "lib")
        assert sorted(str(t.path) for t in other.tracks() if t.title == "tune 0") == [
            str(tmp_path / "music" / "tune 0.wav"),
            "None",
        ]
        assert finds(other, 0)


def test_an_import_is_all_or_nothing(library, exported, tmp_path, monkeypatch):
    calls = []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise LibraryError("no room")
        return write(*arguments)

    write = store.write_segment
    each = Settings(segment_bytes=ROWS * DIM * 2)  # a segment for each track
    with open_library(tmp_path / "new", settings=each) as other:
        with monkeypatch.context() as patch:
            patch.setattr(store, "write_segment", full)
            with pytest.raises(LibraryError, match="no room"):
                other.import_file(exported)
        assert other.tracks() == []
        other.import_file(exported)
        assert other.info().segments == 4
        assert segment_names(tmp_path / "new") == [f"{i:06d}.f16" for i in range(1, 5)]
        assert vectors_of(other) == vectors_of(library)
