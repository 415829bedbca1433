"""A small run of benchmarks/crash.py: a writer is killed at random moments, and nothing is lost."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "crash.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a safe fork")
@pytest.mark.skipif(not SCRIPT.exists(), reason="needs the repository")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_writer_that_is_killed_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("crash", SCRIPT)
    crash = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "crash", crash)
    spec.loader.exec_module(crash)
    tallies = crash.run_crash_test(tmp_path, kills=10, seed=3)
    assert sum(tally.killed for tally in tallies.values()) == 10
