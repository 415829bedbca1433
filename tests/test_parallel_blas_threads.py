"""NumPy's products: one thread while earprint computes, and as many as before afterwards."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from earprint import Library
from earprint.audio.wav import write_wav
from earprint.index import ExactIndex
from earprint.parallel.blas_threads import PROCESS_WIDE, one_thread_for_products
from earprint.parallel.cores import usable_cores
from earprint.synth.composer import compose
from helpers.tinyencoder import TinyEncoder


def threads():
    """Threads of each library that multiplies matrices, but those that FAISS brought."""
    return [
        pool["num_threads"]
        for pool in threadpool_info()
        if pool["user_api"] == "blas" and pool["threading_layer"] in PROCESS_WIDE
    ]


@pytest.fixture(autouse=True)
def two_threads():
    """More than one before, whatever the machine has."""
    if not threads():
        pytest.skip("NumPy's products are made by a library whose threads cannot be counted")
    with threadpool_limits(2, user_api="blas"):
        assert max(threads()) == 2
        yield


def test_one_thread_inside_and_as_many_as_before_outside():
    before = threads()
    with one_thread_for_products():
        assert set(threads()) == {1}
        with one_thread_for_products():
            assert set(threads()) == {1}
        assert set(threads()) == {1}
    assert threads() == before


def test_an_error_inside_changes_nothing():
    before = threads()
    with pytest.raises(KeyError), one_thread_for_products():
        raise KeyError
    assert threads() == before


def test_another_thread_that_is_done_does_not_end_it():
    before = threads()

    def other():
        with one_thread_for_products():
            assert set(threads()) == {1}

    with one_thread_for_products(), ThreadPoolExecutor(1) as pool:
        pool.submit(other).result()
        assert set(threads()) == {1}
    assert threads() == before


class Watched(TinyEncoder):
    """Notes the threads that its products would be made by."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def encode(self, blocks, *, query=False):
        self.seen |= set(threads())
        return super().encode(blocks, query=query)


def test_a_library_computes_in_one_thread(tmp_path, monkeypatch):
    before = threads()
    encoder = Watched()
    write_wav(tmp_path / "a.wav", compose(1, 4.0))
    with Library(tmp_path / "library", encoder=encoder) as library:
        library.add(tmp_path / "a.wav")
        library.add_audio(compose(2, 4.0), sample_rate=16_000, title="b")
        products = []
        searched = ExactIndex.search

        def search(*given):
            products.extend(threads())
            return searched(*given)

        monkeypatch.setattr(ExactIndex, "search", search)
        assert library.identify(np.asarray(compose(1, 4.0), np.float32), sample_rate=16_000).candidates
    assert encoder.seen == set(products) == {1}
    assert threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no process is kept to some cores here")
def test_only_the_cores_that_may_be_used_count():
    before = os.sched_getaffinity(0)
    assert usable_cores() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
