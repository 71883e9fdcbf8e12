"""qcow2 compressed with zstd at a high level, which qemu-img cannot be asked for; QEMU reads it back.

Source: QEMU, docs/interop/qcow2.rst ("Header", "Host cluster management", "L1 and L2 tables").
"""

import os
import struct
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import zstandard

from images.formats.format import Disk
from images.formats.qcow2 import COMPRESSED, COMPRESSION_FEATURE, HEADER, MAGIC, SECTOR
from images.formats.raw import Raw
from larva import process
from larva.errors import MalformedData, ProgramFailed

CLUSTER_BITS = 20
"""Clusters of 1 MiB: larger ones compress little better, and each of the file's tables takes a whole cluster."""
CLUSTER = 1 << CLUSTER_BITS
LEVEL = 19
COPIED = 1 << 63
"""Bit of a table's entry that says: the cluster it names is named once."""
HEADER_BYTES = 112
TABLES = 4
"""Clusters before the first L2 table: header, refcount table, refcount block, L1 table."""
REFCOUNT_BITS_LOG2 = 4


class Qcow2Zstd:
    """A qcow2 of version 3 whose clusters are compressed with zstd."""

    suffix = ".qcow2"
    reader = "QEMU"

    def write(self, disk: Disk, target: Path, log_file: Path) -> None:
        """See Format."""
        write(disk.raw, target, log_file)

    def read(self, file: Path) -> Iterator[bytes]:
        """See Format."""
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".read-") as scratch:
            raw = Path(scratch) / "disk.raw"
            try:
                process.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", file, raw], timeout=900)
            except ProgramFailed as error:
                raise MalformedData(f"{file} is damaged: {error.message}") from error
            yield from Raw().read(raw)


def write(disk: Path, target: Path, log_file: Path) -> None:
    """Write a raw disk as the new file `target`; the same disk makes the same file.

    Raises:
        ProgramFailed: QEMU finds fault with the file.
    """
    with disk.open("rb") as raw, target.open("wb") as file:
        _Writer(file, disk.stat().st_size).write(raw)
    process.run(["qemu-img", "check", "-f", "qcow2", target], timeout=300, log_file=log_file)


class _Writer:
    """Lays out the tables first, then the compressed clusters one behind the other, without a gap."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._count = -(-size // CLUSTER)
        self._tables = -(-self._count // (CLUSTER // 8))
        self._end = (TABLES + self._tables) * CLUSTER
        self._used: Counter[int] = Counter(range(TABLES + self._tables))

    def write(self, raw: BinaryIO) -> None:
        entries = [self._placed(data, compressed) for data, compressed in _compressed(raw)]
        self._at(TABLES, struct.pack(f">{len(entries)}Q", *entries))
        first = [(TABLES + number) * CLUSTER | COPIED for number in range(self._tables)]
        self._at(3, struct.pack(f">{len(first)}Q", *first))
        self._at(2, struct.pack(f">{max(self._used) + 1}H", *(self._used[n] for n in range(max(self._used) + 1))))
        self._at(1, struct.pack(">Q", 2 * CLUSTER))
        self._at(0, self._header())
        # QEMU reads whole sectors of what is compressed.
        self._file.truncate(-(-self._end // SECTOR) * SECTOR)

    def _placed(self, data: bytes, compressed: bytes) -> int:
        """Write a cluster and return its entry of the L2 table; zeros take no room."""
        if not data.strip(b"\0"):
            return 0
        if len(compressed) >= CLUSTER:
            start = -(-self._end // CLUSTER)
            self._at(start, data)
            self._end = (start + 1) * CLUSTER
            self._used[start] += 1
            return start * CLUSTER | COPIED
        at, self._end = self._end, self._end + len(compressed)
        self._file.seek(at)
        self._file.write(compressed)
        sectors = (self._end - 1) // SECTOR - at // SECTOR
        # The reader takes whole sectors, and each cluster of the file that they touch is used once more.
        last = (at // SECTOR + sectors + 1) * SECTOR - 1
        self._used.update(range(at // CLUSTER, last // CLUSTER + 1))
        return COMPRESSED | sectors << (62 - (CLUSTER_BITS - 8)) | at

    def _header(self) -> bytes:
        fixed = HEADER.pack(
            MAGIC, 3, 0, 0, CLUSTER_BITS, self._size, 0, self._tables, 3 * CLUSTER, CLUSTER, 1, 0, 0,
            COMPRESSION_FEATURE, 0, 0, REFCOUNT_BITS_LOG2, HEADER_BYTES,
        )  # fmt: skip
        return fixed + b"\x01"  # the compression type: zstd

    def _at(self, cluster: int, data: bytes) -> None:
        self._file.seek(cluster * CLUSTER)
        self._file.write(data)


def _compressed(raw: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Give each cluster of the disk, the last one filled up with zeros, and the same compressed; in their order."""
    workers = os.cpu_count() or 1
    waiting: deque[tuple[bytes, Future[bytes]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        while data := raw.read(CLUSTER):
            data = data.ljust(CLUSTER, b"\0")
            waiting.append((data, pool.submit(_squeezed, data)))
            if len(waiting) > 2 * workers:
                before, future = waiting.popleft()
                yield before, future.result()
        for before, future in waiting:
            yield before, future.result()


def _squeezed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=LEVEL).compress(data) if data.strip(b"\0") else b""
