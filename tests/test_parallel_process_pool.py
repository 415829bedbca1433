import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path

import pytest

from earprint.parallel.ordered_map import ordered_map
from earprint.parallel.process_pool import ProcessPool, is_cancelled
from helpers import fragile
from helpers.libraries import script_environment

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def test_workers_compute_in_one_thread_and_leave_interruptions_to_the_parent(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    before = dict(os.environ)
    with ProcessPool(1) as pool:
        assert pool.submit(fragile.threads_and_interrupts).result() == ("1", True)
    assert dict(os.environ) == before
    assert not is_cancelled()


@on_linux
def test_no_interruption_reaches_a_worker_that_is_just_beginning():
    with ProcessPool(1) as pool:
        number = pool.submit(fragile.own_number).result()
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{number}/status").read_text().splitlines()
        )
    assert int(status["SigBlk"], 16) >> (signal.SIGINT - 1) & 1
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.slow
def test_there_are_new_workers_after_one_has_ended():
    with ProcessPool(1) as pool:
        first = pool.submit(fragile.own_number).result()
        with pytest.raises(BrokenExecutor):
            pool.submit(fragile.leave).result()
        second = pool.submit(fragile.own_number).result()
        with pytest.raises(BrokenExecutor):
            pool.run_isolated(fragile.leave)
        assert pool.submit(fragile.own_number).result() == second != first
        assert pool.run_isolated(fragile.own_number) not in (first, second)


@on_linux
def test_no_worker_is_left_behind_by_a_parent_that_was_killed():
    program = (
        "import time\n"
        "from helpers import fragile\n"
        "from earprint.parallel.process_pool import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPool(1) as pool:\n"
        "        print(pool.submit(fragile.own_number).result(), flush=True)\n"
        "        time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=script_environment(),
        text=True,
    )
    number = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while Path(f"/proc/{number}").exists() and not _is_a_zombie(number):
        assert time.monotonic() < until, "the worker lives on"
        time.sleep(0.05)


def _is_a_zombie(number):
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_initializer_runs_first():
    with ProcessPool(1, os.putenv, ("EARPRINT_TEST", "x")) as pool:
        assert pool.submit(fragile.own_number).result() != os.getpid()


def _doubles(odd):
    return partial(_double, odd)


def _double(odd, number):
    if number == odd:
        os._exit(1)
    return 2 * number


@pytest.mark.slow
def test_an_ordered_map_keeps_the_order_and_survives_a_process_that_dies():
    died = []
    results = ordered_map(partial(_doubles, 3), range(6), 2, lambda task: died.append(task) or -1)
    assert list(results) == [0, 2, 4, -1, 8, 10]
    assert died == [3]


def test_an_ordered_map_of_one_job_needs_no_process():
    seen = []
    assert list(ordered_map(lambda: seen.append or None, [1, 2], 1, lambda task: None)) == [None, None]
    assert seen == [1, 2]
