"""The package as its users see it: names, lazy imports, types."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import earprint
from helpers.fake_encoder import FakeEncoder

SOURCES = Path(earprint.__file__).parents[1]


def test_dir_shows_what_there_is():
    assert sorted(dir(earprint)) == sorted(earprint.__all__)
    assert {"Encoder", "Fingerprints", "Index", "Library", "__version__", "embed", "embed_batch"} <= set(
        dir(earprint)
    )
    assert all(getattr(earprint, name) is not None for name in dir(earprint))
    with pytest.raises(AttributeError, match="embedd"):
        earprint.embedd  # noqa: B018


def test_every_error_of_the_package_is_public():
    from earprint import errors

    defined = {name for name, found in vars(errors).items() if isinstance(found, type)}
    assert defined <= set(dir(earprint))


def test_importing_and_listing_needs_no_heavy_package():
    code = """
        import sys, earprint
        dir(earprint), earprint.__version__, earprint.EarprintError
        heavy = {"numpy", "av", "onnxruntime", "faiss", "torch", "rich"} & set(sys.modules)
        sys.exit(", ".join(heavy) or None)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=_environment())


def _environment(**more):
    return {**os.environ, "PYTHONPATH": str(SOURCES), **more}


def test_the_interfaces_tell_encoders_and_indexes_apart():
    import numpy as np

    from earprint.index import ExactIndex, InvertedIndex, Rows
    from earprint.index.lsh import LshIndex
    from earprint.quantization.storage import HalfStorage

    index = ExactIndex(Rows([np.eye(4, dtype=np.float16)], HalfStorage(4)))
    for encoder in (FakeEncoder(), earprint.load_encoder()):
        assert isinstance(encoder, earprint.Encoder)
        assert not isinstance(encoder, earprint.Index)
    assert isinstance(index, earprint.Index)
    assert not isinstance(index, earprint.Encoder)
    for kind in (ExactIndex, InvertedIndex, LshIndex):
        assert all(hasattr(kind, name) for name in ("max_query_rows", "search", "vectors", "take", "__len__"))


USER_SCRIPT = """
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import earprint
from earprint.encoders import AudioBlocks
from earprint.index import BaseIndex, best_hits


class Mine:
    name = "mine"
    model_id = "mine-1"
    dim = 8
    reference_hop_s = 0.08
    query_hop_s = 0.04
    codebook = None

    def threshold(self, duration_s: float) -> float:
        return 0.5

    def encode(self, blocks: AudioBlocks, *, query: bool = False) -> earprint.Fingerprints:
        return earprint.Fingerprints(np.zeros((1, 8), np.float32), 0.08, 1.0)


class MyIndex(BaseIndex):
    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        scores = queries @ self.vectors(0, len(self)).T
        return best_hits(scores, np.arange(len(self), dtype=np.int64)[None].repeat(len(queries), 0), k)


encoder: earprint.Encoder = Mine()
assert_type(earprint.__version__, str)
assert_type(earprint.load_encoder("dense"), earprint.Encoder)
made = earprint.embed("clip.wav", encoder=encoder)
assert_type(made.vectors, NDArray[np.float32])
made = earprint.embed(np.zeros((2, 48_000)), sample_rate=48_000)
for one in earprint.embed_batch(["a.wav", "b.wav"]):
    assert_type(one, earprint.Fingerprints)
for either in earprint.embed_batch(["a.wav"], return_exceptions=True):
    if isinstance(either, Exception):
        print(either)
    else:
        assert_type(either, earprint.Fingerprints)
with earprint.Library("library", encoder=Mine(), index=MyIndex) as library:
    match = library.identify("clip.wav").match
    if match is not None:
        assert_type(match.track.title, str)
try:
    earprint.embed(object())  # type: ignore[arg-type]
except earprint.EarprintError:
    pass
"""


@pytest.mark.slow
def test_a_users_script_passes_strict_type_checks(tmp_path):
    pytest.importorskip("mypy", reason="pip install 'earprint[dev]'")
    script = tmp_path / "script.py"
    script.write_text(USER_SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(script)],
        env=_environment(MYPYPATH=str(SOURCES)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in done.stdout.splitlines() if line.startswith("script.py")]
    assert mine == [], "\n".join(mine)
    assert (SOURCES / "earprint/py.typed").is_file()
