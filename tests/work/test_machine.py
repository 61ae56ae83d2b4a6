"""How much of the machine there is: memory and processors, within the limits of groups in groups."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxtop.work.machine import free_memory, processor_quota
from onnxtop.work.options import processors

Groups = Callable[[dict[str, str]], None]

BOUNDLESS = 10**16


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    """Return what writes files of groups; this process is in ``/batch/job``."""
    own = tmp_path / "cgroup"
    own.write_text(
        "5:memory:/batch/job\n4:cpu,cpuacct:/batch/job\n1:name=systemd:/batch/job\n0::/batch/job\n"
    )
    monkeypatch.setattr("onnxtop.work.machine._OWN", own)
    monkeypatch.setattr("onnxtop.work.machine._GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            place = tmp_path / "groups" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text + "\n")

    return write


def test_memory_of_a_group_is_not_taken_by_files_that_were_read(groups: Groups) -> None:
    groups({"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 100\ninactive_file 700"})
    assert free_memory() == 800
    groups({"memory.max": "max"})
    assert free_memory() > 10_000


def test_memory_is_what_the_narrowest_group_leaves(groups: Groups) -> None:
    for folder, limit in (("", 9000), ("batch/", 3000), ("batch/job/", 5000)):
        held = {"memory.max": f"{limit}", "memory.current": "1000", "memory.stat": "anon 1000"}
        groups({folder + name: text for name, text in held.items()})
    assert free_memory() == 2000


def test_memory_in_the_first_version_of_groups(groups: Groups) -> None:
    held = {"limit_in_bytes": "6000", "usage_in_bytes": "2500"}
    groups({f"memory/batch/memory.{name}": text for name, text in held.items()})
    groups({"memory/batch/memory.stat": "cache 700\nactive_file 500"})
    assert free_memory() == 4000


@pytest.mark.parametrize(
    ("files", "quota", "wanted"),
    [
        ({}, math.inf, 8),
        ({"cpu.max": "max 100000"}, math.inf, 8),
        ({"cpu.max": "200000 100000"}, 2.0, 2),
        ({"batch/job/cpu.max": "150000 100000", "batch/cpu.max": "400000 100000"}, 1.5, 2),
        ({"batch/job/cpu.max": "max 100000", "batch/cpu.max": "50000 100000"}, 0.5, 1),
        ({"cpu.max": "3200000 100000"}, 32.0, 8),
        ({"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 3.0, 3),
        ({"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, math.inf, 8),
        ({"cpu.max": "something else", "elsewhere/cpu.max": "100000 100000"}, math.inf, 8),
    ],
)
def test_processors_are_as_many_as_there_is_time_of(
    groups: Groups, files: dict[str, str], quota: float, wanted: int
) -> None:
    groups(files)
    assert (processor_quota(), processors()) == (quota, wanted)


def test_without_groups_it_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("onnxtop.work.machine._OWN", tmp_path / "none")
    assert processor_quota() == math.inf
    assert 0 < free_memory() < BOUNDLESS
    monkeypatch.setattr("onnxtop.work.machine._SYSTEM", tmp_path / "none")
    assert free_memory() == math.inf
