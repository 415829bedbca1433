import hashlib
import os
import threading
from pathlib import Path

import pytest

from earprint.audio import Tags, content_hash, find_audio_files, is_folder, load_audio, read_tags, survey
from earprint.errors import AudioError
from helpers import audiofiles as af


@pytest.fixture
def tree(tmp_path):
    for name in [
        "b.mp3",
        "a.FLAC",
        "notes.txt",
        "cover.jpg",
        "._b.mp3",
        "sub/c d.ogg",
        "sub/deeper/ünï 雪.m4a",
        ".hidden/x.mp3",
        "z.webm",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_folders_are_searched_to_the_bottom_in_order(tree):
    found = [p.relative_to(tree).as_posix() for p in find_audio_files([tree])]
    assert found == ["a.FLAC", "b.mp3", "sub/c d.ogg", "sub/deeper/ünï 雪.m4a", "z.webm"]


def test_named_files_are_taken_whatever_their_name_and_each_once(tree):
    paths = [str(tree / "notes.txt"), tree / "sub", tree / "sub" / "c d.ogg", tree / "._b.mp3"]
    found = list(find_audio_files(paths))
    assert all(isinstance(p, Path) for p in found)
    assert [p.name for p in found] == ["notes.txt", "c d.ogg", "ünï 雪.m4a", "._b.mp3"]
    assert list(find_audio_files(str(tree / "b.mp3"))) == [tree / "b.mp3"]


def test_missing_path_is_named_at_once(tree):
    with pytest.raises(AudioError, match=r"nowhere: no such file or folder; "):
        find_audio_files([tree, tree / "nowhere"])


def test_links_to_folders_are_followed_and_do_not_go_round(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "linked.mp3").touch()
    try:
        (tree / "link").symlink_to(other, target_is_directory=True)
        (tree / "sub" / "up").symlink_to(tree, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    names = [p.name for p in find_audio_files([tree])]
    assert names.count("linked.mp3") == 1
    assert names.count("b.mp3") == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folder_is_reported(tree):
    (tree / "sub").chmod(0)
    warnings = []
    try:
        names = [p.name for p in find_audio_files([tree], on_warning=warnings.append)]
    finally:
        (tree / "sub").chmod(0o755)
    assert "b.mp3" in names
    assert len(warnings) == 1
    assert "sub: cannot be read" in warnings[0]


def test_content_hash_is_blake2b_of_the_bytes(tree, tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "x.mp3").write_bytes(data)
    (tmp_path / "y.mp3").write_bytes(data)
    assert content_hash(tmp_path / "x.mp3") == hashlib.blake2b(data, digest_size=16).hexdigest()
    assert content_hash(tmp_path / "x.mp3") == content_hash(str(tmp_path / "y.mp3"))
    assert content_hash(tmp_path / "x.mp3") != content_hash(tmp_path / "b.mp3")
    # golden: libraries store these
    (tmp_path / "empty").touch()
    assert content_hash(tmp_path / "empty") == "cae66941d9efbd404e4d88758ea67670"


@pytest.mark.parametrize(("name", "cause"), [("none.mp3", "no such file"), (".", "cannot be read")])
def test_content_hash_of_what_cannot_be_read(tmp_path, name, cause):
    with pytest.raises(AudioError, match=cause):
        content_hash(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.m4a", "a.ogg", "a.opus"])
def test_tags_of_every_format(tmp_path, name):
    stereo = af.sine(440, 0.5, 48_000)[:, None].repeat(2, axis=1)
    tags = {"title": "Über  雪\n", "artist": "Someone", "album": " "}
    path = af.encode(tmp_path / name, stereo, 48_000, tags=tags)
    assert read_tags(path) == Tags(title="Über 雪", artist="Someone", album=None)


def test_tags_never_raise(tmp_path):
    assert read_tags(tmp_path / "missing.mp3") == Tags()
    assert read_tags(tmp_path) == Tags()
    (tmp_path / "empty.mp3").touch()
    assert read_tags(tmp_path / "empty.mp3") == Tags()
    (tmp_path / "text.flac").write_text("no flac at all\n" * 50)
    assert read_tags(tmp_path / "text.flac") == Tags()
    path = af.encode(tmp_path / "a.mp3", af.sine(440, 0.5), tags={"title": "T"})
    for seed in range(20):
        af.flip_bits(path, 5, skip=0, seed=seed)
        assert isinstance(read_tags(str(path)), Tags)


@pytest.mark.skipif(os.name != "posix", reason="needs pipes with a name")
def test_what_is_no_regular_file_is_never_opened(tmp_path):
    fifo = tmp_path / "pipe.wav"
    os.mkfifo(fifo)
    (tmp_path / "a.wav").touch()
    assert list(find_audio_files([tmp_path])) == [tmp_path / "a.wav"]
    for refused in (fifo, "/dev/zero"):
        for function in (content_hash, is_folder, find_audio_files):
            with pytest.raises(AudioError, match=rf"^{refused}: is not a regular file; leave it out$"):
                function(refused)


@pytest.mark.skipif(os.name != "posix", reason="needs pipes with a name")
def test_a_pipe_with_a_name_is_still_a_stream(tmp_path):
    fifo = tmp_path / "pipe.wav"
    os.mkfifo(fifo)
    content = af.encode(tmp_path / "a.wav", af.sine(440, 0.5)).read_bytes()
    writer = threading.Thread(target=fifo.write_bytes, args=[content])
    writer.start()
    samples = load_audio(fifo)
    writer.join()
    assert len(samples) == 8000


@pytest.mark.parametrize("function", [content_hash, is_folder, find_audio_files, load_audio])
def test_paths_that_lead_nowhere(tmp_path, function):
    (tmp_path / "loop.mp3").symlink_to(tmp_path / "loop.mp3")
    (tmp_path / "dangling.mp3").symlink_to(tmp_path / "gone.mp3")
    for name, cause in [
        ("loop.mp3", "is a link to a missing file; "),
        ("dangling.mp3", "is a link to a missing file; "),
        ("gone.mp3", "no such file or folder; "),
        ("x" * 300, "cannot be read "),
    ]:
        with pytest.raises(AudioError, match=f"{name}: {cause}"):
            function(tmp_path / name)
    with pytest.raises(AudioError, match=r"^an empty path; name a file or folder$"):
        function("")


def test_survey_says_what_gives_nothing(tree):
    (tree / "none").mkdir()
    (tree / "sub" / "dangling.mp3").symlink_to(tree / "gone.mp3")
    found = list(survey([tree / "none", tree / "sub", tree / "gone", tree / "none"]))
    assert [(path.name, None if error is None else str(error)) for path, error in found] == [
        ("none", f"{tree / 'none'}: holds no audio files; name a folder that does"),
        ("c d.ogg", None),
        ("dangling.mp3", None),  # whoever opens it says why not
        ("ünï 雪.m4a", None),
        ("gone", f"{tree / 'gone'}: no such file or folder; check the path"),
    ]
    warnings = []
    assert list(find_audio_files([tree / "none"], on_warning=warnings.append)) == []
    assert [line.split("; ")[0] for line in warnings] == [f"{tree / 'none'}: holds no audio files"]
