"""Limit NumPy's matrix products to one thread, beside other work.

The threads of OpenBLAS, which is part of most builds of NumPy, wait actively for about 30 ms after each
product. They take the cores from other work: the search of the index, other files that are fingerprinted at
the same time, other programs. The small products of earprint are faster in one thread.

The command line sets ``OPENBLAS_NUM_THREADS`` before it imports NumPy. The limit here is for programs that
use earprint as a package, and may need NumPy's threads for other work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np  # noqa: F401  (its BLAS must be loaded before it can be limited)
from threadpoolctl import ThreadpoolController

PROCESS_WIDE = ["pthreads", "intel", "gnu", "tbb"]
"""Threading layers whose number of threads is a setting of the process: OpenBLAS in NumPy's wheels, and MKL.
In OpenMP, which FAISS uses, each calling thread has its own setting. It is not changed."""


@cache
def _controller() -> Any:
    return ThreadpoolController().select(user_api="blas").select(threading_layer=PROCESS_WIDE)


@contextmanager
def one_thread_for_products() -> Iterator[None]:
    """Limit NumPy's matrix products to the calling thread, inside this context.

    The limit holds for the whole process. If several threads enter the context, only the first one changes
    the number of threads, as long as it lives: threadpoolctl ensures that no thread ends another's limit.
    """
    with _controller().limit(limits=1):
        yield
