"""What a library does when its folder, its encoder or its index is not what it should be."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import earprint
from earprint.errors import AudioError, LibraryError, ModelError
from helpers.fake_encoder import RATE, FakeEncoder, tune, write_wav
from helpers.libraries import open_library


def add(library, seed):
    return library.add_audio(tune(seed), RATE, title=f"tune {seed}")


def found(library, seed):
    match = library.identify(tune(seed)[RATE : 3 * RATE], sample_rate=RATE).match
    return None if match is None else match.track.title


def test_a_relative_path_survives_a_change_of_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_library("lib") as library:
        add(library, 1)
        monkeypatch.chdir(tmp_path / "elsewhere")
        add(library, 2)
        assert (found(library, 1), found(library, 2)) == ("tune 1", "tune 2")
        assert library.verify().sound
        assert library.info().path == str(tmp_path / "lib")
    assert not list((tmp_path / "elsewhere").iterdir())
    monkeypatch.chdir(tmp_path)
    with open_library("lib") as library:
        assert (found(library, 1), found(library, 2)) == ("tune 1", "tune 2")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_library_that_was_deleted_while_open_is_not_changed(tmp_path, replaced):
    with open_library(tmp_path / "lib") as library:
        add(library, 1)
        shutil.rmtree(tmp_path / "lib")
        if replaced:
            open_library(tmp_path / "lib").close()
        with pytest.raises(LibraryError, match="was deleted or replaced while open"):
            add(library, 2)
        with pytest.raises(LibraryError, match="was deleted or replaced while open"):
            library.remove(1)
    assert (tmp_path / "lib").exists() == replaced


def test_a_library_that_is_deleted_during_add_reports_no_success(tmp_path):
    class Deletes(FakeEncoder):
        def encode(self, blocks, *, query=False):
            shutil.rmtree(tmp_path / "lib")
            return super().encode(blocks, query=query)

    with (
        open_library(tmp_path / "lib", Deletes()) as library,
        pytest.raises(LibraryError, match="was deleted or replaced while open"),
    ):
        add(library, 1)


# Encoders


def own(**attributes):
    """A `FakeEncoder` with other attributes."""
    return type("Own", (FakeEncoder,), attributes)()


def returning(change, query=None):
    """A `FakeEncoder` whose fingerprints are changed: those of references, of queries (``query``) or all."""

    def encode(self, blocks, *, query=False):
        made = FakeEncoder.encode(self, blocks, query=query)
        return change(made) if wanted in (None, query) else made

    wanted = query
    return own(encode=encode)


def with_(**values):
    return lambda made: replace(made, **values)


def of_vectors(change):
    return lambda made: replace(made, vectors=change(made.vectors))


ATTRIBUTES = [
    ({"reference_hop_s": 0.1, "query_hop_s": 0.03}, "reference_hop_s is 0.1, not a whole multiple"),
    ({"query_hop_s": 0}, "query_hop_s is 0, not a number of seconds above 0"),
    ({"query_hop_s": 0.16}, "reference_hop_s is 0.08, not a whole multiple"),
    ({"reference_hop_s": "x"}, "reference_hop_s is 'x'"),
    ({"reference_hop_s": float("nan")}, "reference_hop_s is nan"),
    ({"reference_hop_s": 10**400}, "reference_hop_s is 1000"),
    ({"dim": -1}, "dim is -1, not a whole number"),
    ({"dim": "32"}, "dim is '32'"),
    ({"name": None}, "name is None"),
    ({"name": "a\nb"}, "name is 'a.nb'"),
    ({"codebook": 5}, "codebook is 5"),
]


@pytest.mark.parametrize(("attributes", "message"), ATTRIBUTES)
def test_an_encoder_with_unusable_attributes_is_refused_where_it_is_bound(tmp_path, attributes, message):
    encoder = own(**attributes)
    with pytest.raises(ModelError, match=message):
        open_library(tmp_path / "lib", encoder)
    with open_library(tmp_path / "lib") as library, pytest.raises(ModelError, match=message):
        library.rebuild(encoder=encoder)
    if "codebook" not in attributes:
        with pytest.raises(ModelError, match=message):
            earprint.embed(tune(1), sample_rate=RATE, encoder=encoder)
        with pytest.raises(ModelError, match=message):
            earprint.embed_batch([tune(1)], sample_rate=RATE, encoder=encoder)


class Half:
    name = model_id = "half"
    dim = 3

    def encode(self, blocks, *, query=False):
        raise AssertionError


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("dense", "type str, which has no name, model_id, dim"),
        (Half(), "no reference_hop_s, query_hop_s, codebook, threshold; give an Encoder"),
        (FakeEncoder, "is the class FakeEncoder"),
    ],
)
def test_what_is_no_encoder_is_refused(tmp_path, encoder, message):
    with pytest.raises(TypeError, match=message):
        open_library(tmp_path / "lib", encoder)
    with pytest.raises(TypeError, match=message):
        earprint.embed(tune(1), sample_rate=RATE, encoder=encoder)


def test_numpy_scalars_of_an_encoder_are_stored_as_plain_numbers(tmp_path):
    encoder = own(dim=np.int64(32), reference_hop_s=np.float32(0.08), query_hop_s=np.float32(0.04))
    encoder.threshold = lambda duration_s: np.float32(0.5)
    with open_library(tmp_path / "lib", encoder) as library:
        add(library, 1)
        answer = library.identify(tune(1)[:40_000], sample_rate=RATE)
        json.dumps([answer.to_dict(), library.info().to_dict()])
    with open_library(tmp_path / "lib") as library:
        assert found(library, 1) == "tune 1"


@pytest.mark.parametrize("model", [None, 3, b"dense", ["dense"]])
def test_a_model_that_is_neither_text_nor_a_path_is_refused(tmp_path, model):
    for call in (
        lambda: earprint.Library(tmp_path / "lib", model=model),
        lambda: earprint.load_encoder(model),
        lambda: earprint.describe_model(model),
        lambda: earprint.embed(tune(1), sample_rate=RATE, model=model),
    ):
        with pytest.raises(TypeError, match="give the name of a model or the path of an"):
            call()


def test_a_model_may_be_a_path_object(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        earprint.load_encoder(tmp_path / "none.onnx")


@pytest.mark.parametrize(("threads", "error"), [(-1, ValueError), ("2", TypeError), (2.5, TypeError)])
def test_a_wrong_number_of_threads_is_refused(threads, error):
    with pytest.raises(error, match="threads is"):
        earprint.load_encoder("dense", threads)


FAULTS = [
    (lambda made: None, "of type NoneType, not Fingerprints"),
    (lambda made: (made.vectors, made.hop_s), "of type tuple, not Fingerprints"),
    (of_vectors(lambda v: v.tolist()), "of type list, not an array"),
    (of_vectors(lambda v: v.astype(np.int32)), "array of int32, not an array of floating"),
    (of_vectors(lambda v: v[:, :9]), r"\d+, 9\); those of fake-0001 have shape \(n, 32\)"),
    (of_vectors(lambda v: v[0]), r"have shape \(32,\)"),
    (of_vectors(lambda v: np.where(np.arange(len(v))[:, None] == 3, np.nan, v)), "row 3 holds NaN"),
    (of_vectors(lambda v: v * np.float32(100)), "row 0 has length 100; rows are unit vectors"),
    (of_vectors(lambda v: v * np.float32(1e30)), "row 0 has length 1e"),
    (with_(hop_s=0.5), "a hop of 0.5 s; .* have one of 0.0"),
    (with_(hop_s="x"), "a hop of 'x' s"),
    (with_(duration_s=None), "duration_s is None"),
    (with_(duration_s=float("nan")), "duration_s is nan"),
    (with_(duration_s=-1.0), "duration_s is -1.0"),
    (with_(margin_rows=10_000), "margin_rows is 10000"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_unusable_fingerprints_are_refused_where_the_encoder_returns_them(tmp_path, change, message):
    with open_library(tmp_path / "lib", returning(change, query=False)) as library:
        with pytest.raises(ModelError, match=message):
            add(library, 1)
        write_wav(tmp_path / "a.wav", tune(1))
        with pytest.raises(ModelError, match=message):
            library.add(tmp_path / "a.wav")
        assert library.tracks() == []
    encoder = returning(change, query=True)
    with open_library(tmp_path / "lib", encoder) as library:
        add(library, 1)
        with pytest.raises(ModelError, match=message):
            found(library, 1)
    with pytest.raises(ModelError, match=message):
        earprint.embed(tune(1), sample_rate=RATE, encoder=encoder, query=True)


@pytest.mark.parametrize(("change", "message"), FAULTS[2:])
def test_unusable_fingerprints_of_a_query_are_refused(tmp_path, change, message):
    query = change(earprint.embed(tune(1), sample_rate=RATE, encoder=FakeEncoder(), query=True))
    with open_library(tmp_path / "lib") as library:
        add(library, 1)
        with pytest.raises(ValueError, match=message):
            library.identify(query)


def test_references_have_no_margin(tmp_path):
    with (
        open_library(tmp_path / "lib", returning(with_(margin_rows=2), query=False)) as library,
        pytest.raises(ModelError, match=r"margin_rows is 2; .* references have no margin"),
    ):
        add(library, 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_fingerprints_of_other_precisions_and_numpy_lengths_are_converted(tmp_path, dtype):
    def change(made):
        return replace(
            made,
            vectors=made.vectors.astype(dtype),
            hop_s=np.float32(made.hop_s),
            duration_s=np.float32(made.duration_s),
        )

    with open_library(tmp_path / "lib", returning(change)) as library:
        assert type(add(library, 1).duration_s) is float
        answer = library.identify(tune(1)[:40_000], sample_rate=RATE)
        assert answer.match.track.title == "tune 1"
        json.dumps([answer.to_dict(), library.info().to_dict()])


@pytest.mark.parametrize("threshold", [None, "x", float("nan")])
def test_an_unusable_threshold_is_refused(tmp_path, threshold):
    encoder = own(threshold=lambda self, duration_s: threshold)
    with open_library(tmp_path / "lib", encoder) as library:
        add(library, 1)
        with pytest.raises(ModelError, match="its threshold is"):
            found(library, 1)


# Audio


def test_a_recording_shorter_than_a_frame_is_too_short(tmp_path):
    with earprint.Library(tmp_path / "lib") as library:
        with pytest.raises(AudioError, match=r"x: is too short \(0\.6 ms; at least 10 ms are needed\)"):
            library.add_audio(tune(1)[:10], RATE, title="x")
        with pytest.raises(AudioError, match="x: is silent throughout"):
            library.add_audio(np.zeros(1000), RATE, title="x")
        add(library, 1)
        answer = library.identify(tune(1)[:10], sample_rate=RATE)
        assert answer.warnings == ["the query: is too short (0.6 ms; at least 10 ms are needed)"]


def test_a_path_with_a_nul_character_or_of_bytes_is_refused(tmp_path):
    write_wav(tmp_path / "a.wav", tune(1))
    with open_library(tmp_path / "lib") as library:
        report = library.add("a\0b", tmp_path / "a.wav")
        assert len(report.added) == 1
        assert "NUL character" in report.failed[0].cause
        for source in ("a\0b", tmp_path / "a\0b"):
            with pytest.raises(AudioError, match="NUL character"):
                library.identify(source)
            with pytest.raises(AudioError, match="NUL character"):
                earprint.embed(source, encoder=FakeEncoder())
        for call in (library.identify, lambda path: earprint.embed(path, encoder=FakeEncoder())):
            with pytest.raises(TypeError, match="type bytes: are neither a path nor an array"):
                call(b"a.wav")
        for wrong in (b"a.wav", 5, None, ["a.wav"]):
            with pytest.raises(TypeError, match="give a path as text"):
                library.add(wrong)


# Arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"storage": "bogus"}, ValueError, "storage is 'bogus'; it must be one of 'half', 'compact'"),
        ({"index": "nope"}, LibraryError, "nope: no index of this name is installed; use one of auto, "),
        ({"index": 5}, TypeError, "index is of type int; give one of auto"),
        ({"index": None}, TypeError, "index is of type NoneType"),
    ],
)
def test_an_unknown_choice_is_refused_before_a_folder_is_made(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        open_library(tmp_path / "lib", **options)
    assert not (tmp_path / "lib").exists()


def test_a_failed_addition_does_not_bind_an_empty_library(tmp_path):
    with open_library(tmp_path / "lib") as library:
        with pytest.raises(AudioError):
            library.add_audio(np.zeros(RATE), RATE, title="x")
        assert library.add(tmp_path / "missing.wav").failed
        assert library.info().model_id is None
        add(library, 1)
        assert library.info().model_id == "fake-0001"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"title": None}, TypeError, "title is of type NoneType; give text"),
        ({"title": 5}, TypeError, "title is of type int"),
        ({"title": b"x"}, TypeError, "title is of type bytes"),
        ({"title": " "}, ValueError, "title is empty"),
        ({"title": "x", "artist": ["y"]}, TypeError, "artist is of type list"),
    ],
)
def test_names_that_are_no_text_are_refused(tmp_path, values, error, message):
    with open_library(tmp_path / "lib") as library:
        with pytest.raises(error, match=message):
            library.add_audio(tune(1), RATE, **values)
        assert library.info().model_id is None
        assert library.info().segments == 0
        assert not list((tmp_path / "lib").glob("segments/*"))


def test_names_that_are_not_unicode_are_escaped(tmp_path):
    with open_library(tmp_path / "lib") as library:
        track = library.add_audio(tune(1), RATE, title="a\udcff", artist="b\udcfe")
        assert (track.title, track.artist) == ("a\\udcff", "b\\udcfe")
        assert library.remove("a\udcff") == [track]


@pytest.mark.parametrize("selector", [True, None, 1.5, b"x", ["x"]])
def test_a_selector_of_another_type_is_refused(tmp_path, selector):
    with open_library(tmp_path / "lib") as library:
        add(library, 1)
        with pytest.raises(TypeError, match="give a track's number, path or title"):
            library.remove(1, selector)
        assert len(library.tracks()) == 1


def test_a_number_of_numpy_selects_a_track(tmp_path):
    with open_library(tmp_path / "lib") as library:
        assert library.remove(np.int64(add(library, 1).id))
        assert library.tracks() == []


def test_a_file_or_folder_without_a_usable_name_is_refused(tmp_path):
    with open_library(tmp_path / "lib") as library:
        add(library, 1)
        calls = [(library.export, "file"), (library.import_file, "file"), (library.merge, "folder")]
        for call, kind in [*calls, (open_library, "folder")]:
            with pytest.raises(LibraryError, match=f"an empty path names no {kind}"):
                call("")
            with pytest.raises(LibraryError, match="NUL character"):
                call("a\0b")
            with pytest.raises(TypeError, match=f"the {kind} is of type bytes"):
                call(b"x")


def test_only_a_closed_library_is_said_to_be_closed(tmp_path):
    library = open_library(tmp_path / "lib")
    with pytest.raises(LibraryError) as caught:
        library._store.catalogue.find("title", object())
    assert "is closed" not in str(caught.value)
    library.close()
    with pytest.raises(LibraryError, match="is closed"):
        library.tracks()


def test_fingerprints_become_json_with_their_margin():
    made = earprint.Fingerprints(np.eye(4, dtype=np.float32), np.float32(0.5), np.float64(2), np.int64(1))
    assert json.loads(json.dumps(made.to_dict())) == {
        "vectors": np.eye(4).tolist(),
        "times_s": [-0.5, 0.0, 0.5, 1.0],
        "hop_s": 0.5,
        "duration_s": 2.0,
        "margin_rows": 1,
    }


@pytest.mark.parametrize(
    ("threshold", "error", "message"),
    [
        (10**400, ValueError, "threshold is too large"),
        (float("inf"), ValueError, "threshold is inf"),
        ("x", TypeError, "threshold is of type str"),
        ([1], TypeError, "threshold is of type list"),
    ],
)
def test_a_threshold_that_is_no_finite_number_is_refused(tmp_path, threshold, error, message):
    with open_library(tmp_path / "lib") as library, pytest.raises(error, match=message):
        library.identify(tune(1), sample_rate=RATE, threshold=threshold)


def test_a_threshold_of_numpy_becomes_json(tmp_path):
    with open_library(tmp_path / "lib") as library:
        json.dumps(library.identify(tune(1), sample_rate=RATE, threshold=np.float32(0.5)).to_dict())


@pytest.mark.parametrize("top", [1.5, "x", None, True])
def test_a_top_that_is_no_whole_number_is_refused(tmp_path, top):
    with open_library(tmp_path / "lib") as library, pytest.raises(TypeError, match="top is of type"):
        library.identify(tune(1), sample_rate=RATE, top=top)
