"""Audio and checks that the tests of several peers share."""

import numpy as np
import pytest

from earprint.constants import SAMPLE_RATE
from earprint.evaluation.peers import PeerAnswer
from earprint.synth.composer import compose
from helpers.audiofiles import wave_file

ODD_NAMES = ["a b+c.wav", "Ünïcode 音, at 3.0 s.wav", "as \"x\" 'y'\tz.wav"]
"""File names that no program likes."""


def pieces_and_excerpts(folder):
    """Eight pieces; from each, 5 s of clean audio cut at a place between two hops."""
    pieces, excerpts, starts_s = [], [], []
    for seed in range(8):
        audio = compose(seed, 25.0)
        start = 16_000 * (3 + 2 * seed) + 1111 * seed
        pieces.append(wave_file(folder / f"piece {seed}.wav", audio, rate=SAMPLE_RATE))
        excerpts.append(
            wave_file(folder / f"excerpt {seed}.wav", audio[start : start + 80_000], rate=SAMPLE_RATE)
        )
        starts_s.append(start / SAMPLE_RATE)
    absent = wave_file(folder / "absent.wav", compose(99, 5.0), rate=SAMPLE_RATE)
    silent = wave_file(folder / "silent.wav", np.zeros(80_000, np.float32), rate=SAMPLE_RATE)
    return pieces, [*excerpts, absent, silent], starts_s


def check_real(peer, folder, *, at_least=8):
    pieces, queries, starts_s = pieces_and_excerpts(folder)
    peer.add(pieces)
    *answers, absent, silent = peer.identify(queries)
    print(peer.version, peer.options, peer.index_bytes, peer.add_cpu_seconds, peer.identify_cpu_seconds)
    print(answers, absent)
    found = [(a, p, s) for a, p, s in zip(answers, pieces, starts_s, strict=True) if a.path is not None]
    assert len(found) >= at_least
    for answer, piece, start_s in found:
        assert answer.path == piece
        assert answer.start_s == pytest.approx(start_s, abs=0.1)
        assert answer.score > 2 * absent.score
    assert silent == PeerAnswer()
