"""The verbs of the command line on real files: what they print, and how they end."""

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import wave
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import earprint
from earprint.audio.wav import write_wav
from earprint.cli import messages
from earprint.cli.main import VERBS, app
from earprint.library import Library, Settings
from earprint.synth import composer
from helpers.libraries import locked_by_another_process
from helpers.tinyencoder import TinyEncoder

TITLES = ["Slow Harbour", "Velvet Tide", "Grüße 音"]
START_S = 3.2


def install(patch):
    """Make every library use the tiny encoder."""
    patch.setattr("earprint.encoders.load_encoder", lambda name="dense": TinyEncoder())


@pytest.fixture(autouse=True)
def _tiny_encoder(monkeypatch):
    install(monkeypatch)
    monkeypatch.delenv("EARPRINT_LIBRARY", raising=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three pieces in a library, a clip of one of them and a clip of a fourth."""
    base = tmp_path_factory.mktemp("world")
    music = base / "music"
    music.mkdir()
    for seed, title in enumerate(TITLES):
        write_wav(music / f"{title}.wav", composer.compose(seed, 12.0))
    clip = composer.compose(1, 12.0)[int(START_S * 16_000) :][:64_000]
    write_wav(base / "clip.wav", clip)
    write_wav(base / "foreign.wav", composer.compose(77, 4.0))
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        result = run("--library", base / "library", "add", music)
    assert result.exit_code == 0, result.output
    return base


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="earprint")


def ask(world, *arguments, stdin=None):
    return run("--library", world / "library", *arguments, stdin=stdin)


# add


def test_add_again_adds_nothing(world):
    result = ask(world, "add", world / "music")
    assert result.exit_code == 0
    assert result.stdout == "added 0 recordings, 3 already there\n"
    assert result.stderr == ""


def test_add_names_each_bad_file_once_and_goes_on(tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    (music / "empty.mp3").touch()
    (music / "text.mp3").write_text("this is no audio\n" * 50)
    write_wav(music / "silent.wav", np.zeros(40_000, dtype=np.float32))
    write_wav(music / "good.wav", composer.compose(5, 5.0))
    result = run("add", music, "--library", tmp_path / "library")
    assert result.exit_code == 2
    assert result.stdout.startswith("added 1 recording (0:00:05.0 of audio in ")
    assert result.stdout.endswith(", 3 failed\n")
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    for name in ("empty.mp3", "text.mp3", "silent.wav"):
        (line,) = [line for line in lines if name in line]
        assert line.startswith("failed: ")
        assert line.count(name) == 1
    listed = run("list", "--library", tmp_path / "library")
    assert [line.split("\t")[2] for line in listed.stdout.splitlines()] == ["good"]


def test_add_of_missing_paths_only_makes_no_library(tmp_path):
    result = run("add", tmp_path / "nowhere", "", "--library", tmp_path / "library")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"failed: {tmp_path / 'nowhere'}: no such file or folder; check the path",
        "failed: an empty path; name a file or folder",
    ]
    assert not (tmp_path / "library").exists()


def test_add_of_a_folder_without_audio_has_failed(tmp_path):
    (tmp_path / "none").mkdir()
    result = run("add", tmp_path / "none", "--library", tmp_path / "library")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"failed: {tmp_path / 'none'}: holds no audio files")
    assert result.stdout == "added 0 recordings, 1 failed\n"


def test_a_command_that_waits_names_the_other_process(world, monkeypatch):
    impatient = partial(Library, settings=Settings(lock_wait_s=0.1))
    monkeypatch.setattr("earprint.library.Library", impatient)
    with locked_by_another_process(world / "library") as number:
        results = [ask(world, "add", world / "music"), ask(world, "remove", "x", "y")]
    for result in results:
        assert result.exit_code == 2
        waiting, error = result.stderr.splitlines()
        assert f"process {number} is writing to this library; waiting" in waiting
        assert error.startswith("earprint: error: ")


def test_add_interrupted(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("earprint.library.Library.add", interrupt)
    result = run("add", tmp_path, "--library", tmp_path / "library")
    assert result.exit_code == 130
    assert "again" in result.stderr


# identify


def test_identify_prints_one_line(world):
    result = ask(world, "identify", world / "clip.wav")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    query, name, position, score, lead = line.split("\t")
    assert query == str(world / "clip.wav")
    assert (name, position) == ("Velvet Tide", "0:00:03.2")
    assert 0.9 < float(score) <= 1.0
    assert 0.0 < float(lead) <= 1.0


def test_identify_no_match(world):
    result = ask(world, "identify", world / "foreign.wav")
    assert result.exit_code == 1
    assert result.stdout == f"{world / 'foreign.wav'}\tno match\t\t\t\n"
    verbose = ask(world, "identify", "-v", world / "foreign.wav")
    assert verbose.exit_code == 1
    assert "no match (best candidate " in verbose.stdout
    assert "threshold 0.800)" in verbose.stdout


def test_identify_tells_what_is_wrong_with_a_query(world, tmp_path):
    write_wav(tmp_path / "silent.wav", np.zeros(40_000, dtype=np.float32))
    result = ask(world, "identify", tmp_path / "silent.wav", "")
    assert result.exit_code == 2
    assert result.stdout == f"{tmp_path / 'silent.wav'}\tno match\t\t\t\n"
    assert result.stderr.splitlines() == [
        f"warning: {tmp_path / 'silent.wav'}: is silent throughout; there is nothing to recognise it by",
        "earprint: error: an empty path; name a file or folder",
    ]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_threshold_must_be_finite(world, number):
    result = ask(world, "identify", world / "clip.wav", f"--threshold={number}")
    assert result.exit_code == 2
    assert "'--threshold': give a finite number" in result.stderr


@pytest.mark.parametrize("number", ["0", "1", "-0.1", "nan"])
def test_false_accepts_are_a_rate(world, number):
    result = ask(world, "identify", world / "clip.wav", f"--false-accepts={number}")
    assert result.exit_code == 2
    assert "'--false-accepts': give a number above 0 and below 1" in result.stderr


def test_the_rate_of_false_accepts_reaches_the_search(world, monkeypatch):
    given = []
    plain = Library.identify

    def identify(self, source, *, false_accepts, **options):
        given.append(false_accepts)
        return plain(self, source, false_accepts=false_accepts, **options)

    monkeypatch.setattr(Library, "identify", identify)
    assert ask(world, "identify", world / "clip.wav").exit_code == 0
    assert ask(world, "identify", world / "clip.wav", "--false-accepts", "0.01").exit_code == 0
    assert given == [0.001, 0.01]


def test_threshold_decides(world):
    easy = ask(world, "identify", world / "foreign.wav", "--threshold", "-1")
    assert easy.exit_code == 0
    hard = ask(world, "identify", world / "clip.wav", "--threshold", "1.5")
    assert hard.exit_code == 1


def test_identify_several_and_the_worst_code_wins(world):
    result = ask(world, "identify", world / "clip.wav", world / "foreign.wav")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    result = ask(world, "identify", "gone.wav", world / "clip.wav", world / "foreign.wav")
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("earprint: error: gone.wav: ")


def test_top_gives_several_answers(world):
    result = ask(world, "identify", world / "clip.wav", "--top", 3, "--threshold", "-1")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(rows) == 3
    assert {row[1] for row in rows} == set(TITLES)
    scores = [float(row[3]) for row in rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("method", ["aligned", "paper"])
def test_identify_json(world, method):
    result = ask(world, "identify", "--json", "--method", method, world / "clip.wav", world / "foreign.wav")
    hit, miss = json.loads(result.stdout)
    assert hit["query"] == str(world / "clip.wav")
    assert hit["query_duration_s"] == 4.0
    assert hit["seconds"] > 0
    best = hit["matches"][0]
    assert best["track"]["title"] == "Velvet Tide"
    assert best["start_s"] == pytest.approx(START_S, abs=0.1)
    assert best["end_s"] == pytest.approx(START_S + 4.0, abs=0.1)
    assert {"score", "lead"} <= set(best)
    assert best["score"] == round(best["score"], 4)
    if method == "aligned":
        assert result.exit_code == 1
        assert miss["matches"] == []
        assert miss["candidates"][0]["score"] < 0.8


def test_identify_json_of_an_error(world):
    result = ask(world, "identify", "--json", "gone.wav")
    assert result.exit_code == 2
    (document,) = json.loads(result.stdout)
    assert document["query"] == "gone.wav"
    assert "no such file" in document["error"]


def test_identify_from_stdin(world):
    result = ask(world, "identify", "-", stdin=(world / "clip.wav").read_bytes())
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split("\t")[:3] == ["-", "Velvet Tide", "0:00:03.2"]


def test_identify_from_an_empty_stdin(world):
    result = ask(world, "identify", "-", stdin=b"")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_identify_without_a_library(tmp_path, world):
    result = run("--library", tmp_path / "none", "identify", world / "clip.wav")
    assert result.exit_code == 2
    assert result.stderr.startswith("earprint: error: ")
    assert str(tmp_path / "none") in result.stderr
    assert not (tmp_path / "none").exists()


# list, remove, info


def test_list(world):
    result = ask(world, "list")
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert {row[2] for row in rows} == set(TITLES)
    assert {row[1] for row in rows} == {"0:00:12.0"}
    assert all(Path(row[3]).is_file() for row in rows)
    documents = json.loads(ask(world, "list", "--json").stdout)
    assert [str(d["id"]) for d in documents] == [row[0] for row in rows]
    assert {d["title"] for d in documents} == set(TITLES)
    assert {d["duration_s"] for d in documents} == {12.0}


def test_library_after_the_verb_and_from_the_environment(world, tmp_path, monkeypatch):
    before = ask(world, "list").stdout
    assert run("list", "--library", world / "library").stdout == before
    assert run("--library", tmp_path / "other", "list", "--library", world / "library").stdout == before
    monkeypatch.setenv("EARPRINT_LIBRARY", str(world / "library"))
    assert run("list").stdout == before
    assert run("--library", tmp_path / "other", "list").exit_code == 2
    for empty in (["--library", "", "list"], ["list", "--library", ""]):
        result = run(*empty)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "earprint: error: --library has an empty path; name a folder\n"


def test_library_in_the_data_folder_by_default(world, tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(tmp_path / "data"))
    assert run("add", world / "clip.wav").exit_code == 0
    assert (tmp_path / "data" / "library").is_dir()


def test_remove_by_id_path_and_title(tmp_path):
    paths = []
    for seed in range(4):
        paths.append(tmp_path / f"piece {seed}.wav")
        write_wav(paths[-1], composer.compose(seed, 4.0))
    library = ["--library", tmp_path / "library"]
    assert run(*library, "add", *paths).exit_code == 0
    documents = json.loads(run(*library, "list", "--json").stdout)
    by_title = {d["title"]: d["id"] for d in documents}
    paths[1].unlink()
    result = run(*library, "remove", by_title["piece 0"], paths[1], "piece 2", "nothing such")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("earprint: error: ")
    assert "nothing such" in line
    result = run(*library, "remove", by_title["piece 0"], paths[1], "piece 2", "piece 0")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"removed {by_title[f'piece {i}']}: piece {i}" for i in range(3)]
    left = json.loads(run(*library, "list", "--json").stdout)
    assert [d["title"] for d in left] == ["piece 3"]
    assert run(*library, "remove", "piece 3").exit_code == 0
    empty = run(*library, "list")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "empty" in empty.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such names")
def test_remove_by_what_list_shows(tmp_path):
    library = ["--library", tmp_path / "library"]
    for seed, name in enumerate(["two\nlines", "and\tso on"]):
        write_wav(tmp_path / f"{name}.wav", composer.compose(seed, 4.0))
        assert run(*library, "add", tmp_path / f"{name}.wav").exit_code == 0
    (_, _, title, _), (_, _, _, path) = (row.split("\t") for row in run(*library, "list").stdout.splitlines())
    assert title == "two lines"
    result = run(*library, "remove", title, path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["removed 1: two lines", "removed 2: and so on"]


def test_info(world):
    result = ask(world, "info")
    assert result.exit_code == 0
    assert all(line.count("\t") == 1 for line in result.stdout.splitlines())
    assert "tiny-0000" in result.stdout
    document = json.loads(ask(world, "info", "--json").stdout)
    assert document["tracks"] == 3
    assert document["model_id"] == "tiny-0000"


# model, help, the process


def test_model_info(monkeypatch):
    described = {"name": "dense", "dim": 128, "file_size_bytes": 3_200_000, "hop_s": 0.08}
    monkeypatch.setattr("earprint.encoders.describe_model", lambda name: {**described, "name": name})
    result = run("model", "info")
    assert result.stdout.splitlines()[:3] == ["name\tdense", "dim\t128", "file size bytes\t3.2 MB"]
    assert json.loads(run("model", "info", "other", "--json").stdout)["name"] == "other"


def test_model_info_names_the_thresholds_of_both_storages(monkeypatch):
    described = {
        "name": "dense", "dim": 128, "threshold": {"1": 0.3, "5": 0.1}, "parameters": 9,
        "query": {"threshold": {"1": 0.3}, "dim": 128}, "codebook": {"threshold": {"1": 0.2}, "bytes": 5},
    }  # fmt: skip
    monkeypatch.setattr("earprint.encoders.describe_model", lambda name: described)
    assert run("model", "info").stdout.splitlines() == [
        "name\tdense", "dim\t128",
        "threshold, half storage: 1 s query\t0.3", "threshold, half storage: 5 s query\t0.1",
        "threshold, compact storage: 1 s query\t0.2",
        "parameters\t9", "query: dim\t128", "codebook: bytes\t5 B",
    ]  # fmt: skip
    assert json.loads(run("model", "info", "--json").stdout) == described
    described["codebook"]["threshold"] = {}
    assert "threshold, compact storage: 5 s query\t0.1" in run("model", "info").stdout
    del described["codebook"]
    assert "compact" not in run("model", "info").stdout


def test_an_index_of_another_package_is_chosen_by_name(world, monkeypatch):
    from earprint import plugins
    from earprint.index import ExactIndex

    names, load = plugins.plugin_names, plugins.load_plugin
    made = []

    def make(rows):
        made.append(rows)
        return ExactIndex(rows)

    def load_plugin(group, name, kind):
        return make if (group, name) == (plugins.INDEXES, "mine") else load(group, name, kind)

    monkeypatch.setattr(
        plugins, "plugin_names", lambda group: [*names(group), *["mine"] * (group == plugins.INDEXES)]
    )
    monkeypatch.setattr(plugins, "load_plugin", load_plugin)
    result = ask(world, "identify", world / "clip.wav", "--index", "mine")
    assert result.exit_code == 0, result.output
    assert made


@pytest.mark.parametrize("verb", [["identify", "x.wav"], ["evaluate", "--references", "."]])
def test_an_unknown_index_is_refused_with_the_names(world, verb):
    result = ask(world, *verb, "--index", "fast") if verb[0] == "identify" else run(*verb, "--index", "fast")
    assert result.exit_code == 2
    text = " ".join(result.stderr.split())
    assert "fast: no index of this name is installed; use one of auto, exact, inverted, lsh" in text


@pytest.mark.parametrize(
    "verb", [[], ["add"], ["identify"], ["list"], ["remove"], ["info"], ["demo"], ["model", "info"]]
)
def test_every_help_shows_an_example(verb):
    result = run(*verb, "--help")
    assert result.exit_code == 0
    assert f"earprint {' '.join(verb)}" in result.stdout.split("Options:")[0].split("\n\n", 2)[2]
    assert "\x1b" not in result.stdout


def test_every_verb_can_be_loaded_and_has_one_line_in_the_list():
    listed = [verb for section in messages.SUMMARIES.values() for verb in section]
    assert sorted(listed) == sorted(VERBS)
    for verb in listed:
        assert run(verb, "--help").exit_code == 0
    assert "Did you mean 'identify'?" in run("identfy").stderr


def test_version():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("earprint ")
    assert len(result.stdout.splitlines()) == 1


def test_version_without_an_installation(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    file = Path(earprint.__file__).with_name("_version.py")
    assert runpy.run_path(str(file))["__version__"] == "0+unknown"


@pytest.mark.parametrize("arguments", [["frob"], ["add"], ["identify"], ["list", "--frob"]])
def test_wrong_use_ends_with_2(arguments):
    assert run(*arguments).exit_code == 2


def environment_with(**changes):
    """The environment of a process that imports this package."""
    source = Path(__file__).parents[1] / "src"
    paths = os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, **changes}


def process(*arguments, stdin=b"", cwd=None, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment_with(**environment),
        timeout=60,
        check=False,
    )


def test_help_needs_no_heavy_module():
    code = (
        "import sys; from earprint.cli.main import app; app(['--help'], standalone_mode=False); "
        "heavy = {'numpy', 'av', 'onnxruntime', 'faiss', 'torch', 'rich'} & set(sys.modules); "
        "heavy |= {name for name in sys.modules if name in ('earprint.cli.train', 'earprint.cli.evaluate')}; "
        "print(sorted(heavy))"
    )
    result = process("-c", code)
    assert result.stdout.decode().splitlines()[-1] == "[]", result.stderr.decode()


@pytest.mark.parametrize(("given", "expected"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
@pytest.mark.parametrize(
    "verb",
    [
        ["identify", "x.wav"],
        pytest.param(["add", "x.wav"], marks=pytest.mark.slow),
        pytest.param(["rebuild"], marks=pytest.mark.slow),
        pytest.param(["repair"], marks=pytest.mark.slow),
    ],
)
def test_numpy_computes_in_one_thread_beside_other_threads_by_default(
    tmp_path, monkeypatch, verb, given, expected
):
    code = (
        "import os, sys\nfrom earprint.__main__ import run\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'numpy': print(os.environ.get('OPENBLAS_NUM_THREADS'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"sys.argv = ['earprint', '--library', {str(tmp_path / 'none')!r}, *{verb!r}]\n"
        "run()"
    )
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    result = process("-c", code, **given)
    assert result.stdout.decode().splitlines()[:1] == [expected], result.stderr.decode()


posix_only = pytest.mark.skipif(os.name == "nt", reason="needs a shell")

INTERRUPTING = """
import signal, sys
sys.argv = ["earprint", "--library", "none", *{words!r}]
class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            {code}
from earprint.__main__ import run
sys.meta_path.insert(0, Interrupt())
run()
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("earprint.cli.main", ["--help"]),
        ("typer", ["--help"]),
        ("earprint.cli.messages", ["--help"]),
        ("earprint.cli.identify", ["identify", "x.wav"]),
        pytest.param("numpy", ["identify", "x.wav"], marks=pytest.mark.slow),
        pytest.param("earprint.library", ["identify", "x.wav"], marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_while_a_module_is_imported(tmp_path, module, words):
    code = INTERRUPTING.format(module=module, words=words, code="signal.raise_signal(signal.SIGINT)")
    result = process("-c", code, cwd=tmp_path)
    assert result.returncode in (130, -signal.SIGINT), result.stderr.decode()
    assert b"Traceback" not in result.stderr
    assert result.stdout == b""


@pytest.mark.parametrize(
    "code",
    [
        # as compiled modules do that cannot be imported because of the interrupt
        "raise ImportError('initialization failed') from KeyboardInterrupt()",
        # as callbacks do
        "sys.unraisablehook(SimpleNamespace(exc_type=KeyboardInterrupt)); time.sleep(10)",
    ],
)
def test_an_interrupt_that_another_error_or_a_callback_hides(tmp_path, code):
    code = "import time; from types import SimpleNamespace\n" + INTERRUPTING.format(
        module="earprint.cli.identify", words=["identify", "x.wav"], code=code
    )
    result = process("-c", code, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (130, b""), result.stderr.decode()
    assert b"Traceback" not in result.stderr


@posix_only
def test_an_ignored_interrupt_stays_ignored(tmp_path):
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + INTERRUPTING.format(
        module="typer", words=["--version"], code="signal.raise_signal(signal.SIGINT)"
    )
    result = process("-c", code, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, b"")


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])
def test_an_interrupt_at_any_time(tmp_path, delay_s):
    """The delay counts from when Python and the package are there: what comes before is not earprint's."""
    code = (
        "import sys; from earprint.__main__ import run; print(flush=True); "
        "sys.argv = ['earprint', '--library', 'library', 'demo']; run()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment_with(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as started:  # fmt: skip
        started.stdout.readline()
        time.sleep(delay_s)
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
    assert started.returncode in (130, -signal.SIGINT), errors.decode()
    assert b"Traceback" not in errors


def test_error_in_a_process(tmp_path):
    result = process(
        "-m", "earprint", "--library", str(tmp_path / "no\xfcne"), "list", PYTHONUTF8="0",
        LC_ALL="C", PYTHONCOERCECLOCALE="0",
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stdout == b""
    assert result.stderr.startswith(b"earprint: error: ")
    assert len(result.stderr.splitlines()) == 1
    assert b"Traceback" not in result.stderr


def shell(line, world):
    """Run a line in which ``earprint`` stands for the command on the world's library."""
    command = f'"$PYTHON" -m earprint --library "{world / "library"}"'
    return process(
        "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1], shell=True))",
        line.replace("earprint", command), PYTHON=sys.executable,
    )  # fmt: skip


@posix_only
def test_a_closed_stdin(world):
    result = shell("earprint identify - <&-", world)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr == b"earprint: error: <stdin>: is closed; pipe audio into it\n"


@posix_only
@pytest.mark.slow
def test_a_closed_stdout_and_stderr(world):
    assert shell("earprint list >&- 2>&-", world).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["list --json", "--help"])
@pytest.mark.slow
def test_a_full_disk_under_stdout(world, arguments):
    result = shell(f"earprint {arguments} > /dev/full", world)
    assert result.returncode == 2
    (line,) = result.stderr.decode().splitlines()
    assert line.startswith("earprint: error: the output cannot be written (No space left on device); ")
    assert shell(f"earprint {arguments} > /dev/full 2>&1", world).returncode == 2


@posix_only
@pytest.mark.parametrize("arguments", ["list --json", "--help"])
def test_a_reader_that_has_seen_enough(world, arguments):
    code = (
        "import os, subprocess, sys; read, write = os.pipe(); os.close(read); "
        "sys.exit(subprocess.call(sys.argv[1:], stdout=write))"
    )
    command = [sys.executable, "-m", "earprint", "--library", str(world / "library")]
    result = process("-c", code, *command, *arguments.split())
    assert (result.returncode, result.stderr) == (0, b"")


def test_wav_of_the_world_is_what_it_says(world):
    with wave.open(io.BytesIO((world / "clip.wav").read_bytes())) as file:
        assert file.getnframes() == 64_000
