"""The partition table and the hand-patched boot code."""

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from images import gpt
from images.gpt import Layout


@given(st.integers(min_value=128, max_value=1 << 20))
def test_partitions_do_not_overlap_and_the_root_ends_before_the_backup_table(disk_mib: int) -> None:
    layout = Layout(disk_mib)
    parts = sorted([layout.bios, layout.esp, layout.root], key=lambda part: part.start_mib)
    for before, after in pairwise(parts):
        assert before.start_mib + before.size_mib <= after.start_mib
    assert parts[0].start_mib >= 1
    assert parts[-1] == layout.root
    assert layout.root.start_mib + layout.root.size_mib == disk_mib - 1


def test_identifiers_follow_the_seed() -> None:
    assert Layout(2048).sfdisk("a") == Layout(2048).sfdisk("a")
    assert Layout(2048).sfdisk("a") != Layout(2048).sfdisk("b")
    assert len({gpt.identifier("a", name) for name in ("disk", "bios", "esp", "root", "root-fs", "hash")}) == 6


def test_boot_code_points_at_its_core_and_spares_the_partition_table() -> None:
    code = gpt.boot_code(bytes(range(256)) * 2, 2048)
    assert len(code) == 440
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,)
    assert code[0x66:0x68] == b"\x90\x90"


@given(st.binary(min_size=512, max_size=5000))
def test_core_lists_exactly_the_sectors_after_its_first(core: bytes) -> None:
    patched = gpt.core_image(core, 2048)
    assert len(patched) % 512 == 0
    start, count, segment = struct.unpack_from("<QHH", patched, 500)
    assert (start, segment) == (2049, 0x820)
    assert count == len(patched) // 512 - 1
    assert patched[512 : len(core)] == core[512:]
