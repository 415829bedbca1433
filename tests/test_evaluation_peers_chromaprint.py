"""Chromaprint as a peer: its comparison against the real one's results, and the running of `fpcalc`.

`fpcalc` is imitated by a program that makes one item of each tone of a melody of tones one item long.
The real one runs if EARPRINT_FPCALC names it.
"""

import hashlib
import json
import os
import stat
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earprint.errors import AudioError, EvaluationError
from earprint.evaluation.peers import ChromaprintPeer, PeerAnswer, parse_peer
from earprint.evaluation.peers.chromaprint_matcher import SILENCE, Matcher, concatenate, matching_items
from helpers.audiofiles import wave_file
from helpers.peerfiles import ODD_NAMES, check_real

ITEM_S = 1365 / 11_025


def words(name, n):
    """Random items that are the same everywhere."""
    return np.frombuffer(hashlib.shake_128(name.encode()).digest(4 * n), "<u4").astype(np.uint32)


def errors(name, n):
    """Items of which 1 bit in 8 is set."""
    return words(f"{name}a", n) & words(f"{name}b", n) & words(f"{name}c", n)


def golden_pair(number, n, first, size, *, kind="noisy"):
    """A reference of `n` items, and a query of `size` that begins at its item `first`, with wrong bits."""
    reference, query = words(f"r{number}", n), words(f"q{number}", size)
    i = np.arange(max(0, -first), min(size, n - first))
    if kind == "gap":
        i = i[(i < 80) | (i > 170)]
    query[i] = reference[i + first] ^ (errors(f"s{number}", size)[i] if kind != "clean" else 0)
    if kind == "worse later":
        query[i[i > 150]] ^= errors(f"t{number}", size)[i[i > 150]]
    if kind == "every other":
        query[i[i % 2 == 0]] = words(f"u{number}", size)[i[i % 2 == 0]]
    return reference, query


@pytest.mark.parametrize(
    ("case", "offset", "score"),
    [
        ((0, 300, 40, 19, "noisy"), 40, 0.772989),
        ((1, 300, 200, 60, "noisy"), 200, 0.719760),
        ((2, 120, -8, 30, "noisy"), -8, 0.537475),
        ((3, 120, 100, 40, "noisy"), 100, 0.364044),
        ((4, 900, 300, 250, "gap"), 300, 0.471729),
        ((5, 900, 310, 280, "worse later"), 310, 0.669834),
        ((6, 60, 0, 60, "clean"), 0, 0.999968),
        ((7, 500, 123, 160, "every other"), 123, 0.379264),
    ],
)
def test_two_fingerprints_compare_as_in_chromaprint(case, offset, score):
    """Results of the library's own C++ at 1.5.1: sum over its segments of duration * (1 - score / 16)."""
    *numbers, kind = case
    reference, query = golden_pair(*numbers, kind=kind)
    found = Matcher(*concatenate([reference])).best(query)
    assert found.offset == offset
    assert found.score == pytest.approx(score, abs=1e-4)  # it adds noise of up to 0.001 bits


def slow_matching_items(wrong_bits):
    """The segments of one alignment, item by item, after `FingerprintMatcher::Match`."""
    n = len(wrong_bits)
    smooth = [Fraction(x) for x in wrong_bits]
    for width in (15, 15, 17):
        mirrored = [*smooth, *smooth[::-1]]
        padded = [mirrored[i % (2 * n)] for i in range(-(width // 2), n + width // 2)]
        smooth = [sum(padded[i : i + width]) / width for i in range(n)]
    slope = [Fraction(0)] * n
    if n > 1:
        inner = [(smooth[i + 1] - smooth[i - 1]) / 2 for i in range(1, n - 1)]
        slope = [abs(x) for x in (smooth[1] - smooth[0], *inner, smooth[-1] - smooth[-2])]
    ends = []
    for i in range(1, n - 1):
        is_peak = slope[i] > 0.15 and slope[i] >= slope[i - 1] and slope[i] >= slope[i + 1]
        if is_peak and (not ends or ends[-1] + 1 < i):
            ends.append(i)
    total, begin = 0.0, 0
    for end in [*ends, n]:
        mean = sum(wrong_bits[begin:end]) / (end - begin)
        if mean < 10:
            total += (end - begin) * (1 - mean / 16)
        begin = end
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_segments_are_those_of_a_slow_comparison(n, seed):
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.integers(0, 25, (2, 6)), 10, axis=1)[:, :n]
    wrong = np.clip(level + rng.integers(-4, 5, (2, n)), 0, 32).astype(np.uint8)
    expected = [slow_matching_items([int(x) for x in row]) for row in wrong]
    np.testing.assert_allclose(matching_items(wrong), expected, atol=1e-9)


def test_the_best_of_many_references_is_found_where_it_lies():
    references = [words(f"many {i}", n) for i, n in enumerate([50, 0, 400, 3, 200, 0])]
    near = references[2].copy()
    near[100:140] ^= errors("near", 40)
    matcher = Matcher(*concatenate([*references, near]))
    query = references[2][95:145]
    assert matcher.best(query) == (2, 95, 1.0)
    assert matcher.best(np.concatenate([words("before", 5), references[4][:20]]))[:2] == (4, -5)
    assert matcher.best(words("absent", 40)) is None
    assert matcher.best(np.empty(0, np.uint32)) is None
    assert matcher.best(references[0][:1]) is None  # one vote is none
    assert Matcher(*concatenate([])).best(query) is None


def test_silence_does_not_vote():
    silence = np.full(60, SILENCE, np.uint32)
    matcher = Matcher(*concatenate([silence, np.concatenate([silence, words("sound", 60)])]))
    assert matcher.best(silence[:20]) is None
    assert matcher.best(np.concatenate([silence[:30], words("sound", 60)[:10]]))[:2] == (1, 30)


FAKE_FPCALC = """#!{python}
import json, pathlib, sys, wave
import numpy as np
here = pathlib.Path(__file__)
if "-version" in sys.argv:
    sys.exit(print("fpcalc version 1.5.1 (FFmpeg Lavc59)"))
assert sys.argv[1:6] == ["-raw", "-json", "-length", "0", "-ignore-errors"], sys.argv
with here.with_name("calls.jsonl").open("a") as log:
    log.write(json.dumps(sys.argv[6:]) + "\\n")
if here.with_name("fail").exists():
    sys.exit("ERROR: Could not open the input file")
for name in sys.argv[6:]:
    with wave.open(name) as source:
        assert source.getparams()[:3] == (1, 2, 11025), source.getparams()
        data = np.frombuffer(source.readframes(source.getnframes()), np.int16)
    items = []
    for i in range((len(data) - 30031) // 1365 + 1):
        tone = data[1365 * i + 200 : 1365 * (i + 1) - 200]
        hz = np.argmax(np.abs(np.fft.rfft(tone, 11025)))
        items.append(int(round(hz / 40) * 2654435761 % 2**32) if tone.any() else 627964279)
    if here.with_name("cut short").exists():
        items.pop()
    if not items:
        sys.exit("ERROR: Empty fingerprint")
    print(json.dumps({{"duration": len(data) / 11025, "fingerprint": items}}))
"""


@pytest.fixture
def fpcalc(tmp_path):
    """A program that passes for `fpcalc`."""
    program = tmp_path / "their fpcalc"
    program.write_text(FAKE_FPCALC.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def melody(seed, n):
    """Tones of one item each, 600 to 4600 Hz, shape (1365 n,) at 11,025 Hz."""
    hz = 40.0 * np.random.default_rng(seed).integers(15, 115, n)
    return 0.5 * np.sin(2 * np.pi * np.cumsum(np.repeat(hz, 1365)) / 11_025)


@pytest.fixture
def melodies(tmp_path):
    """Three references of 12.4 s."""
    return [wave_file(tmp_path / name, melody(i, 100), rate=11_025) for i, name in enumerate(ODD_NAMES)]


def excerpt(folder, name, seed, first, n):
    """Items `first` to `first + n` of a melody, and what follows that they need; other music before it."""
    audio = melody(seed, 100)[1365 * max(0, first) : 1365 * (first + n + 21)]
    before = melody(seed + 1000, max(0, -first))
    return wave_file(folder / name, np.concatenate([before, audio]), rate=11_025)


def calls_of(fpcalc):
    return [json.loads(line) for line in (fpcalc.parent / "calls.jsonl").read_text().splitlines()]


def test_excerpts_are_found_and_placed_to_the_item(fpcalc, melodies, tmp_path):
    peer = parse_peer(f"chromaprint={fpcalc}")(tmp_path / "work")
    peer.add(melodies[:2])
    before = peer.index_bytes
    peer.add(melodies[2:])
    queries = [
        excerpt(tmp_path, "q0.wav", 2, 20, 19),
        excerpt(tmp_path, "q1.wav", 0, -6, 30),
        excerpt(tmp_path, "absent.wav", 77, 0, 19),
        wave_file(tmp_path / "short.wav", melody(1, 16), rate=11_025),
        wave_file(tmp_path / "silent.wav", np.zeros(55_125), rate=11_025),
        excerpt(tmp_path, "q5.wav", 1, 41, 25),
    ]
    third, first, *nothing, second = peer.identify(queries)
    assert (third.path, first.path, second.path) == (melodies[2], melodies[0], melodies[1])
    assert nothing == [PeerAnswer()] * 3
    starts_s = [answer.start_s for answer in (third, first, second)]
    assert starts_s == pytest.approx([20 * ITEM_S, -6 * ITEM_S, 41 * ITEM_S])
    assert third.score > 0.9
    assert first.score == pytest.approx(0.8, abs=0.1)  # 24 of 30 items lie in the reference
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["fingerprints.npz"]
    assert 0 < before < peer.index_bytes == (tmp_path / "work" / "fingerprints.npz").stat().st_size
    assert peer.version == "fpcalc version 1.5.1 (FFmpeg Lavc59)"
    assert peer.options == "-raw -json -length 0 -ignore-errors"
    assert 0 < peer.add_cpu_seconds < 60
    assert 0 < peer.identify_cpu_seconds < 60


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.slow
def test_several_files_go_to_each_run(fpcalc, melodies, tmp_path, cores):
    peer = ChromaprintPeer(fpcalc, tmp_path / "work", cores=cores, files_per_run=2)
    peer.add(melodies)
    assert [answer.path for answer in peer.identify(melodies[::-1])] == melodies[::-1]
    names = [[f"{letter}000000{i}.wav" for i in range(3)] for letter in "rq"]
    assert sorted(calls_of(fpcalc)) == sorted([*(n[:2] for n in names), *(n[2:] for n in names)])


def test_files_too_short_for_an_item_are_not_given_to_it(fpcalc, melodies, tmp_path):
    peer = ChromaprintPeer(fpcalc, tmp_path / "work")
    short = wave_file(tmp_path / "short.wav", melody(5, 10), rate=11_025)
    peer.add([short, melodies[0]])
    assert calls_of(fpcalc) == [["r0000001.wav"]]
    assert peer.identify([short, melodies[0]])[1].path == melodies[0]
    assert ChromaprintPeer(fpcalc, tmp_path / "work").index_bytes == 0


def test_a_failing_program_is_an_error_of_one_line(fpcalc, melodies, tmp_path):
    peer = ChromaprintPeer(fpcalc, tmp_path / "work")
    (tmp_path / "bad.wav").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(AudioError, match=r"bad\.wav"):
        peer.add([tmp_path / "bad.wav"])
    (tmp_path / "cut short").touch()
    with pytest.raises(EvaluationError, match="read 3 of 3 files not to their end; try another build"):
        peer.add(melodies)
    (tmp_path / "fail").touch()
    with pytest.raises(EvaluationError, match=r"Chromaprint: its program failed \(ERROR: Could not open"):
        peer.add(melodies)
    assert peer.index_bytes == 0
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.skipif(
    "EARPRINT_FPCALC" not in os.environ, reason="set EARPRINT_FPCALC to Chromaprint's program fpcalc"
)
def test_the_real_chromaprint_finds_clean_excerpts(tmp_path):
    check_real(parse_peer(f"chromaprint={os.environ['EARPRINT_FPCALC']}")(tmp_path / "work"), tmp_path)
