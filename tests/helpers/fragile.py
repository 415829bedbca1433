"""What worker processes call in tests: things that end them, take long, or tell what a worker is like."""

import os
import signal
import time

from earprint.library import encoding_pool as elsewhere
from earprint.parallel import process_pool as processes


def encode_or_die(model, path, model_id):
    """Fingerprint a file, but end the process if its name asks for it, as a decoder that crashes would."""
    if "crash" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "broken" in path.name:
        raise ZeroDivisionError("no such luck")
    return elsewhere.encode_here(model, path, model_id)


def encode_for_ever(model, path, model_id):
    """Take very long over a file, unless nobody wants it any more."""
    if "long" not in path.name:
        return elsewhere.encode_here(model, path, model_id)
    (path.parent / "begun.txt").touch()
    while not processes.given_up():
        time.sleep(0.01)
    raise ValueError("given up")


def threads_and_interrupts():
    """Tell how many threads NumPy may use, and what an interruption does."""
    return os.environ["OPENBLAS_NUM_THREADS"], signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def own_number():
    """Tell the process's number."""
    return os.getpid()


def leave():
    """End the process without a word."""
    os._exit(3)
