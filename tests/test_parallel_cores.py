import os

import pytest

from earprint.parallel import cores
from earprint.parallel.cores import cpu_quota, usable_cores


def control_groups(folder, membership, files):
    """Make a tree of control groups, and the file that names the groups of a process."""
    (folder / "self").write_text(membership)
    for name, text in files.items():
        file = folder / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "cgroup", folder / "self"


def version_1(group, quota_us):
    return {f"{group}/cpu.cfs_quota_us": f"{quota_us}\n", f"{group}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "garbage\n"}, None),
        # the least of a group and of those above it
        ("0::/a/b\n", {"cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("0::/a/b\n", {"cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1.0),
        # the host's path in a container that sees its own group as the root
        ("0::/host/only\n", {"cpu.max": "300000 100000"}, 3.0),
        ("4:memory:/x\n1:cpu:/\n0::/\n", version_1("cpu", 50_000), 0.5),
        ("1:cpu:/\n", version_1("cpu", -1), None),
        ("3:cpu,cpuacct:/docker/1\n", version_1("cpu,cpuacct/docker/1", 250_000), 2.5),
        ("4:memory:/\n", {"cpu.max": "100000 100000"}, None),
    ],
)
def test_quota(tmp_path, membership, files, quota):
    assert cpu_quota(*control_groups(tmp_path, membership, files)) == quota


def test_no_control_groups_on_this_system(tmp_path):
    assert cpu_quota(tmp_path / "nothing", tmp_path / "none") is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (0.2, 1), (1.5, 2), (8.0, 8), (64.0, 8)])
def test_usable_cores_keep_to_the_quota_and_the_affinity(monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert usable_cores() == expected
