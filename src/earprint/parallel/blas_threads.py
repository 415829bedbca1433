"""One thread for NumPy's products where many small ones are made beside other work.

The threads of OpenBLAS, which most builds of NumPy bring, wait busily for some 30 ms after each product, and
take the cores from whatever else computes: the index's search, the files that are fingerprinted at the same
time, other programs. What earprint multiplies in a question or for a recording is done sooner by one.

A program of its own, as the command line is, best says so before NumPy is imported (`OPENBLAS_NUM_THREADS`).
Here it is done for whoever uses earprint within a program that may want NumPy's threads for other things.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np  # noqa: F401  (what it multiplies with must be there before it can be told anything)
from threadpoolctl import ThreadpoolController

PROCESS_WIDE = ["pthreads", "intel", "gnu", "tbb"]
"""By what libraries have threads whose number is the whole process's: OpenBLAS in NumPy's wheels, and MKL. By
OpenMP, as in FAISS, every thread that calls has its own, and these are left alone."""


@cache
def _controller() -> Any:
    return ThreadpoolController().select(user_api="blas").select(threading_layer=PROCESS_WIDE)


@contextmanager
def one_thread_for_products() -> Iterator[None]:
    """Have NumPy multiply matrices in the thread that asks for it, and as before afterwards.

    It holds for the whole process. Of several threads that ask for it, only the first that ever did has
    a say as long as it lives (threadpoolctl sees to that), so that none undoes it under another.
    """
    with _controller().limit(limits=1):
        yield
