"""qcow2 compressed with zlib, which every reader takes; written by qemu-img, read by our own reader of the format.

Source: QEMU, docs/interop/qcow2.rst ("Header", "Cluster mapping"). libqcow of 2026 gets compressed clusters wrong.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from images.formats.format import Disk
from larva import process
from larva.errors import MalformedData

MAGIC = b"QFI\xfb"
HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
COMPRESSION_FEATURE = 1 << 3
"""Incompatible feature: clusters are compressed by another way than zlib."""
COMPRESSED = 1 << 62
ZERO = 1
OFFSET = 0x00FF_FFFF_FFFF_FE00
SECTOR = 512


class Qcow2:
    """A compressed qcow2 of version 3."""

    suffix = ".qcow2"
    reader = "our own reader of the format"

    def write(self, disk: Disk, target: Path, log_file: Path) -> None:
        """See Format. Clusters of 2 MiB compress better than the usual ones of 64 KiB, and in a ninth of the time."""
        process.run(
            ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o",
             "compat=1.1,compression_type=zlib,cluster_size=2M", disk.raw, target],
            timeout=1800, log_file=log_file,
        )  # fmt: skip

    def read(self, file: Path) -> Iterator[bytes]:
        """See Format."""
        try:
            with file.open("rb") as opened:
                yield from _Reader(opened, str(file)).clusters()
        except (struct.error, zlib.error) as error:
            raise MalformedData(f"{file} is damaged: {error}") from error


class _Reader:
    """Reads an image that stands alone: no backing file, no encryption, no snapshot."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or header[:4] != MAGIC:
            raise MalformedData(f"{name} is no qcow2 image")
        (_, version, backing, _, bits, self.size, encryption, self._l1_entries, self._l1_at, _, _, _, _, incompatible,
         *_) = HEADER.unpack(header)  # fmt: skip
        if version != 3 or backing or encryption or incompatible:
            raise MalformedData(f"{name} is no qcow2 image of version 3 that stands alone")
        if not 9 <= bits <= 21:
            raise MalformedData(f"{name} claims clusters of 2^{bits} bytes")
        self._bits = bits
        self._cluster = 1 << bits

    def clusters(self) -> Iterator[bytes]:
        """Give the disk's bytes, a cluster at a time."""
        entries = self._cluster // 8
        left = self.size
        for at in struct.unpack(f">{self._l1_entries}Q", self._at(self._l1_at, self._l1_entries * 8)):
            table = self._at(at & OFFSET, self._cluster) if at & OFFSET else bytes(self._cluster)
            for entry in struct.unpack(f">{entries}Q", table):
                if left <= 0:
                    return
                yield self._data(entry)[:left]
                left -= self._cluster

    def _data(self, entry: int) -> bytes:
        if entry & COMPRESSED:
            shift = 62 - (self._bits - 8)
            at = entry & ((1 << shift) - 1)
            sectors = ((entry & (COMPRESSED - 1)) >> shift) + 1
            return self._expanded(self._at(at, sectors * SECTOR - at % SECTOR, short=True))
        if entry & ZERO or not entry & OFFSET:
            return bytes(self._cluster)
        return self._at(entry & OFFSET, self._cluster)

    def _expanded(self, data: bytes) -> bytes:
        """Return a whole cluster: what lies behind it in its last sector belongs to another."""
        cluster = zlib.decompressobj(-12).decompress(data, self._cluster)
        if len(cluster) != self._cluster:
            raise MalformedData(f"{self._name} has a cluster of {len(cluster)} bytes")
        return cluster

    def _at(self, offset: int, length: int, *, short: bool = False) -> bytes:
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) < length and not short:
            raise MalformedData(f"{self._name} ends before byte {offset + length}")
        return data
