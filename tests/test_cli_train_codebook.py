"""`earprint train codebook`: a model gets a codebook, and a compact library with it finds a recording."""

import shutil
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from earprint import Library
from earprint.audio.wav import write_wav
from earprint.cli.main import app
from earprint.constants import SAMPLE_RATE
from earprint.dsp.snr import add_noise
from earprint.dsp.synthetic_noise import pink_noise
from earprint.encoders.registry import load_encoder, weights_folder
from earprint.quantization.codebook import read_codebook
from earprint.synth.composer import compose
from earprint.training.codebook import learn_codebook
from earprint.training.packing import pack_audio

TRACKS, DURATION_S = 8, 28.0

runner = CliRunner()


def earprint(*words):
    return runner.invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of one's own without a codebook, music, and a store of it."""
    root = tmp_path_factory.mktemp("codebook")
    (root / "music").mkdir()
    for seed in range(TRACKS):
        write_wav(root / "music" / f"artist{seed}__piece.wav", compose(seed, DURATION_S))
    pack_audio([root / "music"], root / "store", "music")
    for suffix in (".onnx", ".json"):
        shutil.copyfile(weights_folder() / f"dense{suffix}", root / f"mine{suffix}")
    return root


@pytest.fixture(scope="module")
def learned(folder):
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(learn_codebook, rotation_rounds=1)  # enough for so little music
        patch.setattr("earprint.training.codebook.learn_codebook", quick)
        return earprint(
            "train", "codebook", folder / "mine.onnx", folder / "store", "--subquantizers", 24,
            "--threshold", "1=0.6", "--threshold", "5=0.4", "--percent", 0,
        )  # fmt: skip


@pytest.mark.slow
def test_it_says_what_was_made(folder, learned):
    assert learned.exit_code == 0, learned.output
    assert "26 bytes per fingerprint" in learned.stdout
    assert load_encoder(str(folder / "mine.onnx")).codebook is not None


@pytest.mark.slow
def test_the_file_holds_what_was_asked_for(folder, learned):
    book = read_codebook(folder / "mine.codebook.npz")
    assert (book.n_subquantizers, book.width, book.thresholds) == (24, 26, {1.0: 0.6, 5.0: 0.4})
    assert book.model_id == load_encoder(str(folder / "mine.onnx")).model_id
    vectors = load_encoder(str(folder / "mine.onnx")).encode([compose(0, DURATION_S)]).vectors
    cosines = np.vecdot(book.decode(book.encode(vectors)), vectors)[vectors.any(axis=1)]
    assert cosines.mean() > 0.9, "codes of music that was learned from say little of it"


@pytest.mark.slow
def test_a_compact_library_with_it_finds(folder, learned, tmp_path):
    start = 9 * SAMPLE_RATE
    excerpt = compose(3, DURATION_S)[start : start + 3 * SAMPLE_RATE]
    with Library(tmp_path / "library", model=str(folder / "mine.onnx"), storage="compact") as library:
        library.add(folder / "music")
        assert library.info().storage == "compact"
        found = library.identify(
            add_noise(excerpt, pink_noise(len(excerpt), 1), 5.0), sample_rate=16_000
        ).candidates[0]
    assert found.track.title == "artist3__piece"
    assert found.start_s == pytest.approx(9.0, abs=0.1)


@pytest.mark.slow
def test_thresholds_alone_change_nothing_else(folder, learned):
    file = folder / "mine.codebook.npz"
    before = read_codebook(file)
    result = earprint("train", "codebook", folder / "mine.onnx", "--threshold", "3=0.5")
    assert result.exit_code == 0, result.output
    after = read_codebook(file)
    assert after.thresholds == {3.0: 0.5}
    np.testing.assert_array_equal(after.centroids, before.centroids)
    assert after.digest == before.digest


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ((), "name a store to learn from, or a --threshold"),
        (("--threshold", "one=0.5"), "not SECONDS=SCORE"),
        (("nowhere",), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(folder, words, cause):
    result = earprint("train", "codebook", folder / "mine.onnx", *words)
    assert result.exit_code != 0
    assert cause in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_too_little_music(folder, tmp_path):
    pack_audio([folder / "music" / "artist0__piece.wav"], tmp_path / "store", "music")
    result = earprint(
        "train", "codebook", folder / "mine.onnx", tmp_path / "store", "--validation-percent", 0
    )
    assert result.exit_code != 0
    assert "too few to learn 4096 centroids from; pack more music" in result.stderr
