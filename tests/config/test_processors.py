"""`workers = "auto"`: the processors that this process may use."""

from __future__ import annotations

import os

import pytest

from gunicorn import _processors
from gunicorn.config import Config

AFFINITY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def system(root, groups, **files):
    """A root with /proc/self/cgroup and the files of control groups, below /sys/fs/cgroup."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for path, text in files.items():
        file = root / "sys" / "fs" / "cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    "groups,files,expected",
    [
        pytest.param("0::/\n", {}, 0, id="no files"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 0, id="v2, no quota"),
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, id="v2, in a container"),
        pytest.param(
            "0::/a.slice/b\n",
            {"a.slice/cpu.max": "200000 100000", "a.slice/b/cpu.max": "800000 100000"},
            2,
            id="v2, the parent has less",
        ),
        pytest.param("0::/../other\n", {"cpu.max": "300000 100000"}, 3, id="v2, outside"),
        pytest.param("0::/gone\n", {"cpu.max": "50000 100000"}, 0.5, id="v2, a path of the host"),
        pytest.param(
            "4:cpu,cpuacct:/shop\n0::/\n",
            {"cpu,cpuacct/shop/cpu.cfs_quota_us": "400000",
             "cpu,cpuacct/shop/cpu.cfs_period_us": "100000"},
            4,
            id="v1",
        ),
        pytest.param(
            "3:cpuset:/\n1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            0,
            id="v1, no quota",
        ),
        pytest.param("0::/\n", {"cpu.max": "100000 0\n"}, 0, id="a period of nothing"),
        pytest.param("0::/\n", {"cpu.max": "lots\n"}, 0, id="no number"),
        pytest.param("nonsense\n\n", {}, 0, id="nonsense"),
    ],
)  # fmt: skip
def test_the_quota_of_control_groups(tmp_path, groups, files, expected):
    root = system(tmp_path, groups, **files)
    assert _processors.quota(root) == expected
    assert _processors.available(root) == (min(AFFINITY, expected) if expected else AFFINITY)


@pytest.mark.parametrize("quota,expected", [(1000, 1), (100001, min(2, AFFINITY)), (9e9, AFFINITY)])
def test_it_is_rounded_up(tmp_path, quota, expected):
    root = system(tmp_path, "0::/\n", **{"cpu.max": f"{quota:.0f} 100000"})
    assert _processors.count(2048, root) == expected
    assert "by the quota of its control group" in _processors.count(2048, root).reason


def test_there_is_no_group(tmp_path):
    assert _processors.count(2048, str(tmp_path)) == AFFINITY
    assert _processors.count(1, str(tmp_path)) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="there is no affinity")
def test_the_affinity_counts():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert _processors.count(2048) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_auto_in_the_configuration(monkeypatch):
    cfg = Config()
    cfg.set("workers", " Auto ")
    assert cfg.workers == _processors.count(2048)
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    assert Config().workers == _processors.count(2048)
    with pytest.raises(ValueError, match="0 or greater, or auto"):
        cfg.set("workers", "automatic")
