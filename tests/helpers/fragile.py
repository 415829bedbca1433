"""Functions for worker processes in tests: they end the process, take long, or describe it."""

import os
import signal
import time

from earprint.library import encoding_pool
from earprint.parallel.process_pool import is_cancelled


def encode_or_die(model, path, model_id):
    """Fingerprint a file, but end the process if its name asks for it, as a decoder that crashes would."""
    if "crash" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "broken" in path.name:
        raise ZeroDivisionError("no such luck")
    return encoding_pool.encode_file(model, path, model_id)


def encode_for_ever(model, path, model_id):
    """Never end with a file, unless the pool is cancelled."""
    if "long" not in path.name:
        return encoding_pool.encode_file(model, path, model_id)
    (path.parent / "begun.txt").touch()
    while not is_cancelled():
        time.sleep(0.01)
    raise ValueError("cancelled")


def threads_and_interrupts():
    """Return the number of NumPy's threads, and whether Ctrl-C is ignored."""
    return os.environ["OPENBLAS_NUM_THREADS"], signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def own_number():
    """Return the process's number."""
    return os.getpid()


def leave():
    """End the process without cleaning up."""
    os._exit(3)
