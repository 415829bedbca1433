"""Number of cores that this process may use."""

import math
import os
from functools import cache
from pathlib import Path


def usable_cores() -> int:
    """Count the cores that this process may use, at least 1.

    The smaller of the cores that it may be scheduled on (its CPU affinity) and its container's CPU quota,
    rounded up.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def process_count(jobs: int) -> int:
    """Number of processes for a ``jobs`` option: ``jobs`` itself, or one for each usable core if it is 0."""
    return jobs or usable_cores()


@cache
def cpu_quota(
    cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> float | None:
    """CPU quota of this process's control groups, in cores; None without one.

    Version 2 gives a group's quota in ``cpu.max``, version 1 in ``cpu.cfs_quota_us`` and
    ``cpu.cfs_period_us`` (cgroups(7)). The quota of a group also limits the groups below it, so the least of
    them counts. It is read once.

    Parameters
    ----------
    cgroups : Path
        Where control groups are mounted.
    membership : Path
        File that names the groups of this process, such as ``0::/user.slice``.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = Path(path.lstrip("/"))
        # In a container the path may be that of the host, which does not exist here: only the root does.
        for mount in (cgroups, cgroups / controllers) if controllers else (cgroups,):
            quotas += [_quota_of(mount / above) for above in (group, *group.parents)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_of(group: Path) -> float | None:
    """Quota of one control group, in cores; None without one."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else None  # "max" and -1: none
    except (OSError, ValueError):
        return None
