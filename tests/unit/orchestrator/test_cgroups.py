"""What files of control groups say of memory, as machines and containers have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mysticanvas.orchestrator.supervisor import cgroups

GIB = 1 << 30
V2_MOUNT = "30 23 0:26 {root} /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate"
V1_MOUNTS = """\
24 1 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:5 - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct ro,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 {root} /sys/fs/cgroup/memory ro,relatime master:17 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2  rw
"""
V1_MEMBERSHIP = "12:cpu,cpuacct:{path}\n4:memory:{path}\n1:name=systemd:{path}\n0::/\n"

V2_STAT = """\
anon 321589248
file 3221229568
kernel 25165824
shmem 4096
file_mapped 1048576
inactive_anon 321589248
active_anon 4096
inactive_file 2147483648
active_file 1073741824
unevictable 0
slab_reclaimable 20971520
slab_unreclaimable 1048576
"""
V1_STAT = """\
cache 3221225472
rss 321716224
inactive_file 7
active_file 7
hierarchical_memory_limit 4294967296
total_cache 3221225472
total_rss 321716224
total_inactive_file 2147483648
total_active_file 1073741824
total_unevictable 0
"""


def folders(membership: str, mounts: str) -> list[str]:
    return [str(folder) for _, folder in cgroups.groups(membership, mounts)]


def test_every_group_around_a_session_counts() -> None:
    membership = "0::/user.slice/user-1000.slice/session-2.scope\n"
    assert folders(membership, V2_MOUNT.format(root="/")) == [
        "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope",
        "/sys/fs/cgroup/user.slice/user-1000.slice",
        "/sys/fs/cgroup/user.slice",
        "/sys/fs/cgroup",
    ]


@pytest.mark.parametrize(
    ("path", "root"),
    [("/", "/"), ("/docker/8a1f", "/docker/8a1f"), ("/../x", "/"), ("/", "/.."), ("/y", "/x")],
)
def test_a_container_sees_its_own_group_at_the_mount(path: str, root: str) -> None:
    assert folders(f"0::{path}\n", V2_MOUNT.format(root=root)) == ["/sys/fs/cgroup"]
    found = folders(V1_MEMBERSHIP.format(path=path), V1_MOUNTS.format(root=root))
    assert found == ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"]


def test_a_group_with_colons_in_a_container_is_found() -> None:
    path = "/kubepods/pod1/a:b"
    found = cgroups.groups(V1_MEMBERSHIP.format(path=path), V1_MOUNTS.format(root="/kubepods"))
    assert [(kind, str(folder)) for kind, folder in found] == [
        ("cgroup", "/sys/fs/cgroup/memory/pod1/a:b"),
        ("cgroup", "/sys/fs/cgroup/memory/pod1"),
        ("cgroup", "/sys/fs/cgroup/memory"),
        ("cgroup2", "/sys/fs/cgroup/unified"),
    ]


def test_a_limit_is_a_number_that_a_machine_could_have() -> None:
    assert cgroups.limit_bytes("max\n") is None
    assert cgroups.limit_bytes("9223372036854771712\n") is None  # pages of 4 KiB
    assert cgroups.limit_bytes("9223372036854710272\n") is None  # of 64 KiB
    assert cgroups.limit_bytes("4294967296\n") == 4 * GIB


def test_what_is_kept_of_files_is_free() -> None:
    used = 3 * GIB + 400_000_000
    free = 4 * GIB - 400_000_000
    assert cgroups.free_bytes(4 * GIB, f"{used}\n", V2_STAT) == free + 20_971_520
    assert cgroups.free_bytes(4 * GIB, f"{used}\n", V1_STAT) == free


def test_no_less_than_nothing_is_free_and_no_more_than_the_limit() -> None:
    assert cgroups.free_bytes(GIB, str(2 * GIB), "active_file 0\n") == 0
    assert cgroups.free_bytes(GIB, "4096", "active_file 8192\n") == GIB


def test_groups_without_files_set_no_limit(tmp_path: Path) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    for folder in (empty, full):
        folder.mkdir()
    for name, text in (
        ("memory.max", str(4 * GIB)),
        ("memory.current", str(GIB)),
        ("memory.stat", "active_file 0\n"),
    ):
        (full / name).write_text(text)
    (empty / "memory.max").write_text("max\n")
    places = [("cgroup2", folder) for folder in (tmp_path / "gone", empty, full)]
    assert cgroups.rooms(places) == [cgroups.Room(4 * GIB, 3 * GIB)]
