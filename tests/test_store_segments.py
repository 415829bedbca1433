import numpy as np
import pytest

from earprint.errors import LibraryError
from earprint.store.segments import (
    checksum_of,
    delete_strays,
    open_segment,
    salvage_segment,
    segment_damage,
    write_segment,
)


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, 8)).astype(np.float16) for n in (3, 5, 1)]


def test_written_vectors_come_back(tmp_path, parts):
    segment = write_segment(tmp_path / "segments", 3, parts)
    assert (segment.rows, segment.width, segment.file) == (9, 8, "000003.f16")
    stored = open_segment(tmp_path / "segments", segment)
    assert np.array_equal(stored, np.concatenate(parts))
    assert not stored.flags.writeable
    assert segment_damage(tmp_path / "segments", segment) is None
    assert segment.checksum == checksum_of(np.concatenate(parts))
    assert [p.name for p in (tmp_path / "segments").iterdir()] == ["000003.f16"]


def test_layout_on_disk_is_frozen(tmp_path):
    segment = write_segment(tmp_path, 1, [np.array([[1, -2], [0.5, 0]], np.float16)])
    assert (tmp_path / "000001.f16").read_bytes() == bytes.fromhex("003c 00c0 0038 0000")
    # From coreutils: b2sum -l 128
    assert segment.checksum == "b222215fddc9c1495173a9832ce609b4"


@pytest.mark.parametrize("damage", ["missing", "short", "long"])
def test_wrong_size_is_seen_on_opening(tmp_path, parts, damage):
    segment = write_segment(tmp_path, 1, parts)
    file = tmp_path / segment.file
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "short" else content + b"x")
    with pytest.raises(LibraryError, match=r"000001\.f16: .*; run `earprint repair`"):
        open_segment(tmp_path, segment)
    assert "000001.f16: " in segment_damage(tmp_path, segment)
    rows = salvage_segment(tmp_path, segment)
    whole = {"missing": 0, "short": 8, "long": 9}[damage]
    assert np.array_equal(rows[:whole], np.concatenate(parts)[:whole])
    assert rows.shape == (9, 8)


def test_a_flipped_bit_is_seen_by_verify(tmp_path, parts):
    segment = write_segment(tmp_path, 1, parts)
    file = tmp_path / segment.file
    content = bytearray(file.read_bytes())
    content[40] ^= 4
    file.write_bytes(content)
    open_segment(tmp_path, segment)
    assert "000001.f16: is damaged" in segment_damage(tmp_path, segment)


def test_a_failed_write_leaves_nothing_and_says_why(tmp_path, parts, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LibraryError, match=r"000001\.f16: cannot be written \(No space left"):
        write_segment(tmp_path, 1, parts)
    assert list(tmp_path.iterdir()) == []


def test_strays_are_deleted_and_nothing_else(tmp_path, parts):
    write_segment(tmp_path, 1, parts)
    for name in ("000002.f16", "000003.f16.tmp", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    delete_strays(tmp_path, ["000001.f16"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000001.f16", "notes.txt"]
