"""Peers: what is handed to their programs, and what is made of what they say.

The programs are imitated by small ones that answer from the files themselves: a reference and a query are
"the same" if their loudest frequency is. The real ones run if environment variables name them. Chromaprint
has its own module, ``test_evaluation_peers_chromaprint.py``.
"""

import json
import os
import stat
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from earprint.audio import load_audio
from earprint.constants import SAMPLE_RATE
from earprint.errors import AudioError, EvaluationError
from earprint.evaluation.peers import AudfprintPeer, OlafPeer, PeerAnswer, parse_peer
from earprint.evaluation.peers.programs import Usage, run_program, write_wave
from helpers.audiofiles import float_wave, sine, wave_file
from helpers.peerfiles import ODD_NAMES, check_real

HOP_S = 256 / 11_025

FAKE_MAIN = """
import json, pathlib, sys
import numpy
import audfprint_match, audio_read

class Analyzer:
    n_hop, target_sr = 256, 11025

class Table:
    def __init__(self, names):
        self.names = names

def main(argv):
    pathlib.Path(__file__).with_name("calls.jsonl").open("a").write(json.dumps(argv) + "\\n")
    if "--version" in argv:
        print(20150406)
        return
    assert not audio_read.HAVE_FFMPEG
    names = pathlib.Path(argv[argv.index("--list") + 1]).read_text().split()
    base = pathlib.Path(argv[argv.index("--dbase") + 1])
    known = {} if argv[1] == "new" else json.loads(base.read_text())
    if argv[1] != "match":
        base.write_text(json.dumps(known | {name: audio_read.loudest(name) for name in names}))
        return
    matcher = audfprint_match.Matcher(list(known.values()))
    with open(argv[argv.index("--opfile") + 1], "w") as sink:
        sink.write("Thu Jan  1 00:00:00 1970 Reading hash table index.pklz\\n")
        for name in names:
            for line in matcher.file_match_to_msgs(Analyzer, Table(list(known)), name, 0):
                sink.write(line + "\\n")
"""

FAKE_MATCH = """
import numpy as np
import audio_read

class Matcher:
    def __init__(self, known):
        self.known = known

    def match_file(self, analyzer, table, query, number):
        here = audio_read.loudest(query)
        same = [i for i, there in enumerate(self.known) if abs(here - there) < 5]
        rows = [[i, 42, -10 if here < 500 else 400, 50, 0, 0, 0] for i in same]
        return np.array(rows, np.int32).reshape(-1, 7), 1.0, 99

    def file_match_to_msgs(self, analyzer, table, query, number=None):
        raise AssertionError("says it in words")
"""

FAKE_READ = """
import wave
import numpy as np

HAVE_FFMPEG = True

def loudest(name):
    with wave.open(name) as source:
        assert source.getparams()[:3] == (1, 2, 11025), source.getparams()
        data = np.asfarray(np.frombuffer(source.readframes(source.getnframes()), np.int16))
    return float(np.argmax(np.abs(np.fft.rfft(data))) * 11025 / len(data))
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder that passes for a checkout of audfprint."""
    folder = tmp_path / "their audfprint"
    folder.mkdir()
    (folder / "audfprint.py").write_text(FAKE_MAIN)
    (folder / "audfprint_match.py").write_text(FAKE_MATCH)
    (folder / "audio_read.py").write_text(FAKE_READ)
    return folder


@pytest.fixture
def tones(tmp_path):
    """References: 300, 600, 900 Hz."""
    return [wave_file(tmp_path / name, sine(300 * (i + 1), 1.5)) for i, name in enumerate(ODD_NAMES)]


def test_answers_come_in_the_order_of_the_queries_under_the_paths_that_were_given(checkout, tones, tmp_path):
    peer = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "work")
    peer.add(tones)
    queries = [wave_file(tmp_path / f"q {hz}.wav", sine(hz, 1.0)) for hz in (900, 300, 450, 600, 900)]
    answers = peer.identify(queries)
    assert [answer.path for answer in answers] == [tones[2], tones[0], None, tones[1], tones[2]]
    assert answers[2] == PeerAnswer(None, None, 0.0)
    assert answers[0].start_s == pytest.approx(400 * HOP_S)
    assert answers[1].start_s == pytest.approx(-10 * HOP_S)
    assert answers[0].score == 42.0
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["index.pklz"]
    assert peer.index_bytes == (tmp_path / "work" / "index.pklz").stat().st_size > 0
    assert 0 < peer.add_cpu_seconds < 60
    assert 0 < peer.identify_cpu_seconds < 60
    assert peer.add_seconds > 0
    assert peer.identify_seconds > 0
    assert "20150406" in peer.version
    assert peer.options == "defaults"


@pytest.mark.slow
def test_more_references_are_added_to_the_first_ones(checkout, tones, tmp_path):
    peer = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "work")
    peer.add(tones[:1])
    peer.add([])
    peer.add(tones[1:])
    assert [answer.path for answer in peer.identify(tones[::-1])] == tones[::-1]
    assert peer.identify([]) == []


@pytest.mark.slow
def test_thousands_of_queries_are_asked_in_few_runs(checkout, tones, tmp_path):
    peer = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "work", queries_per_run=2)
    peer.add(tones)
    asked = [tones[0], tones[2], tones[1], tones[1], tones[0]]
    assert [answer.path for answer in peer.identify(asked)] == asked
    calls = [json.loads(line)[1] for line in (checkout / "calls.jsonl").read_text().splitlines()]
    assert calls == ["--version", "new", "match", "match", "match"]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["index.pklz"]


@pytest.mark.slow
def test_long_references_get_a_wider_table_and_much_longer_ones_cannot_come_later(
    checkout, tones, tmp_path, monkeypatch
):
    lengths = iter([304.0, 380.0, 400.0, 310.0])
    monkeypatch.setattr(
        AudfprintPeer, "_convert", lambda _s, a, b: write_wave(a, b, 11_025) and next(lengths)
    )
    short = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "short")
    short.add(tones[:1])
    short.add(tones[1:2])
    assert short.options == "defaults"
    with pytest.raises(EvaluationError, match="400 s; add the longest first"):
        short.add(tones[2:])
    wide = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "wide")
    wide.add(tones[2:])
    assert wide.options == "defaults --maxtimebits 15"
    assert '"--maxtimebits", "15"' in (checkout / "calls.jsonl").read_text().splitlines()[-1]


def test_what_the_program_says_last_is_the_error(checkout, tones, tmp_path):
    peer = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "work")
    with pytest.raises(EvaluationError, match="audfprint: has no references"):
        peer.identify(tones)
    (checkout / "audfprint_match.py").write_text(
        FAKE_MATCH.replace("here = ", "raise ValueError('ran out') #")
    )
    peer.add(tones)
    with pytest.raises(EvaluationError, match=r"audfprint: .*ValueError: ran out") as caught:
        peer.identify(tones)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "work").glob("*.wav"))


def test_a_missing_answer_is_an_error(checkout, tones, tmp_path):
    (checkout / "audfprint.py").write_text(
        FAKE_MAIN.replace("in names:\n            for", "in names[1:]:\n            for")
    )
    peer = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "work")
    peer.add(tones)
    with pytest.raises(EvaluationError, match="no answer to 1 of 3 queries"):
        peer.identify(tones)


def test_a_file_that_is_not_audio_is_named_and_nothing_added(checkout, tones, tmp_path):
    peer = AudfprintPeer(checkout, Path(sys.executable), tmp_path / "work")
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(AudioError, match=r"bad\.wav"):
        peer.add([tones[0], bad])
    assert peer.index_bytes == 0
    assert list((tmp_path / "work").iterdir()) == []


def test_a_peer_is_checked_when_it_is_named(checkout, tmp_path):
    peer = parse_peer(f"audfprint={checkout}")(tmp_path / "work")
    assert peer.name == "audfprint"
    with pytest.raises(EvaluationError, match=r"no audfprint\.py in it; give a checkout of https"):
        parse_peer(f"audfprint={tmp_path}")
    with pytest.raises(EvaluationError, match="not understood; write audfprint=DIR"):
        parse_peer("shazam=/opt")
    with pytest.raises(EvaluationError, match="not understood"):
        parse_peer("audfprint=")
    with pytest.raises(EvaluationError, match="cannot be started"):
        parse_peer(f"audfprint={checkout}", python=tmp_path / "python9")
    with pytest.raises(EvaluationError, match="no such program; install fpcalc"):
        parse_peer(f"chromaprint={tmp_path / 'fpcalc'}")
    with pytest.raises(EvaluationError, match="no such program; build Olaf's core"):
        parse_peer(f"olaf={tmp_path / 'olaf_core'}")
    (checkout / "audio_read.py").write_text("import docopt_is_not_here")
    with pytest.raises(
        EvaluationError, match=r"has no module 'docopt_is_not_here'.*-m pip install numpy scipy"
    ):
        parse_peer(f"audfprint={checkout}")


def test_copies_keep_time_and_level(tmp_path):
    source = wave_file(tmp_path / "tone.wav", sine(440, 2.0, rate=16_000), rate=16_000)
    assert write_wave(source, tmp_path / "copy.wav", 11_025) == pytest.approx(2.0, abs=0.002)
    with wave.open(str(tmp_path / "copy.wav")) as copy:
        assert (copy.getframerate(), copy.getnchannels(), copy.getsampwidth()) == (11_025, 1, 2)
        data = np.frombuffer(copy.readframes(copy.getnframes()), np.int16) / 32768
    t = np.arange(len(data)) / 11_025
    original = load_audio(source)
    expected = np.interp(t[100:-100], np.arange(len(original)) / SAMPLE_RATE, original)
    assert np.abs(data[100:-100] - expected).max() < 0.02 * np.abs(expected).max()


def test_what_exceeds_full_scale_is_clipped_in_copies(tmp_path):
    source = float_wave(tmp_path / "loud.wav", 1.5 * sine(100, 1.0, rate=16_000, level=1.0))
    write_wave(source, tmp_path / "copy.wav", 11_025)
    with wave.open(str(tmp_path / "copy.wav")) as copy:
        data = np.frombuffer(copy.readframes(copy.getnframes()), np.int16)
    assert (data.min(), data.max()) == (-32768, 32767)
    assert np.abs(np.diff(data.astype(int))).max() < 4000  # a wrapped value would jump by 65,536


def test_cpu_seconds_are_those_of_the_program(tmp_path):
    usage = Usage()
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    with usage.measure():
        run_program("busy", [sys.executable, "-c", busy], tmp_path, {})
    assert 0.4 < usage.cpu_seconds < 5
    idle = Usage()
    with idle.measure():
        run_program("idle", [sys.executable, "-S", "-c", "import time; time.sleep(0.5)"], tmp_path, {})
    assert idle.cpu_seconds < 0.4
    assert idle.seconds > 0.5


FAKE_OLAF = """#!{python}
import os, pathlib, sys
import numpy as np
store = pathlib.Path(os.environ["HOME"], ".olaf", "db", "data.mdb")
def loudest(name):
    data = np.fromfile(name, np.float32)
    return round(np.argmax(np.abs(np.fft.rfft(data))) * 16000 / len(data))
raw, name = sys.argv[2:4]
if sys.argv[1] == "store":
    for raw, name in zip(sys.argv[2::2], sys.argv[3::2]):
        store.open("a").write(f"{{loudest(raw)}} {{name}}\\n")
elif loudest(raw) == 777:
    sys.exit("MDB_MAP_FULL")
else:
    stored = [line.split() for line in store.read_text().splitlines()]
    found = [name for hz, name in stored if int(hz) == loudest(raw)]
    for name in found:
        print(f"17, 0.50, 0.90, {{name}}, 3242, 20.76, 21.16")
        print(f"6, 0.50, 0.90, {{name}}, 3242, 1.00, 1.40")
    if not found:
        print("0, 0.00, 0.00, , 0, 0.00, 0.00")
"""


def test_olaf_is_asked_query_by_query(tones, tmp_path, monkeypatch):
    monkeypatch.setattr(OlafPeer, "_references_per_run", 2)
    binary = tmp_path / "olaf_core"
    binary.write_text(FAKE_OLAF.format(python=sys.executable))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    peer = parse_peer(f"olaf={binary}")(tmp_path / "work")
    peer.add(tones)
    queries = [wave_file(tmp_path / f"q {hz}.wav", sine(hz, 1.0)) for hz in (600, 450, 300)]
    found, nothing, other = peer.identify(queries)
    assert found.path == tones[1]
    assert found.start_s == pytest.approx(20.26)
    assert found.score == 17.0
    assert nothing == PeerAnswer()
    assert other.path == tones[0]
    assert peer.index_bytes > 0
    with pytest.raises(EvaluationError, match=r"Olaf: .*MDB_MAP_FULL"):
        peer.identify([wave_file(tmp_path / "full.wav", sine(777, 1.0))])
    assert OlafPeer(binary, tmp_path / "work").index_bytes == 0


@pytest.mark.skipif(
    "EARPRINT_AUDFPRINT" not in os.environ,
    reason="set EARPRINT_AUDFPRINT to a checkout of github.com/dpwe/audfprint "
    "and EARPRINT_AUDFPRINT_PYTHON to a Python that has its needs, if that is not in its .venv",
)
@pytest.mark.parametrize("cores", [1, 2])
def test_the_real_audfprint_finds_clean_excerpts(tmp_path, cores):
    python = os.environ.get("EARPRINT_AUDFPRINT_PYTHON")
    make = parse_peer(
        f"audfprint={os.environ['EARPRINT_AUDFPRINT']}", python=Path(python) if python else None, cores=cores
    )
    check_real(make(tmp_path / "work"), tmp_path)


@pytest.mark.skipif("EARPRINT_OLAF" not in os.environ, reason="set EARPRINT_OLAF to Olaf's bin/olaf_core")
def test_the_real_olaf_finds_clean_excerpts(tmp_path):
    peer = parse_peer(f"olaf={os.environ['EARPRINT_OLAF']}")(tmp_path / "work")
    check_real(peer, tmp_path, at_least=7)  # one piece is so sparse that Olaf takes 4 hashes from 5 s of it
