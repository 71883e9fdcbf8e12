"""Backups as files: nobody changes or cuts one unnoticed, none is half made, and the last few are kept."""

import errno
import io
import itertools
import json
import os
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cladnet import seal
from cladnet.control import archive, backup, backup_shelf, vault
from cladnet.control.aftercare import withheld_to
from cladnet.control.archive import Manifest, Packer
from larva import codec, files
from larva.errors import Conflict, InvalidInput, MalformedData, NotFound, Refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = vault.Passphrase("correct horse battery")


@pytest.fixture(autouse=True)
def _fast_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "OPERATIONS", 1)
    monkeypatch.setattr(vault, "MEMORY_BYTES", 1 << 13)


def closed(data: bytes, lock: vault.Lock = SECRET, *, piece: int = 1000) -> bytes:
    """A vault with data, written in pieces."""
    file = io.BytesIO()
    writer = vault.Writer(file, lock)
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
    writer.finish()
    return file.getvalue()


def opened(sealed: bytes, secret: vault.Secret = SECRET) -> bytes:
    return b"".join(vault.read(io.BytesIO(sealed), secret))


any_time = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("size", [0, 1, *(n * vault.CHUNK_BYTES + d for n in (1, 2) for d in (-1, 0, 1))])
def test_what_goes_in_comes_out(size: int) -> None:
    data = os.urandom(size)
    sealed = closed(data)
    assert opened(sealed) == data
    assert size < 32 or data[:32] not in sealed


@any_time
@given(st.data())
def test_no_byte_can_be_changed_cut_off_or_added(data: st.DataObject) -> None:
    sealed = closed(bytes(vault.CHUNK_BYTES + 500))
    place = data.draw(st.integers(0, len(sealed) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "add"]))
    if kind == "flip":
        changed = bytearray(sealed)
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
        broken = bytes(changed)
    else:
        broken = sealed[:place] if kind == "cut" else sealed + bytes(place % 100 + 1)
    with pytest.raises((MalformedData, Refused)):
        opened(broken)


def test_chunks_cannot_change_places_or_move_between_files() -> None:
    one, other = (closed(bytes([number]) * 5 * vault.CHUNK_BYTES) for number in (1, 2))
    size = vault.CHUNK_BYTES + 17
    body = len(one) - 5 * size
    chunk = [one[body + n * size : body + (n + 1) * size] for n in range(5)]
    for order in ((1, 0, 2, 3, 4), (0, 2, 3, 4), (0, 0, 1, 2, 3, 4), (0, 1, 2, 4)):
        with pytest.raises(MalformedData):
            opened(one[:body] + b"".join(chunk[n] for n in order))
    with pytest.raises((MalformedData, Refused)):
        opened(one[: body + size] + other[body + size :])
    with pytest.raises((MalformedData, Refused)):
        opened(other[:body] + one[body:])


def test_only_the_right_secret_opens() -> None:
    private, public = seal.new_pair()
    stranger, _ = seal.new_pair()
    to_all, to_one = closed(b"data"), closed(b"data", vault.Recipient(public))
    assert opened(to_one, vault.PrivateKey(private)) == b"data"
    for sealed, secret, told in (
        (to_all, vault.Passphrase("another passphrase"), "passphrase is not"),
        (to_all, vault.PrivateKey(private), "with a passphrase"),
        (to_one, vault.PrivateKey(stranger), public),
        (to_one, SECRET, public),
    ):
        with pytest.raises(Refused) as refused:
            opened(sealed, secret)
        assert told in refused.value.message
    assert "horse" not in repr(SECRET)
    assert private not in repr(vault.PrivateKey(private))
    with pytest.raises(InvalidInput, match="shorter"):
        vault.Passphrase("short")


@pytest.mark.parametrize(
    "changed", [{"memory_bytes": 1 << 40}, {"operations": 10**9}, {"operations": 0}, {"salt": "AA=="}, {"salt": "*"}]
)
def test_a_header_cannot_ask_for_more_than_a_machine_has(changed: dict[str, Any]) -> None:
    header = {**codec.to_builtins(SECRET.wrap(bytes(32))), **changed}
    text = json.dumps(header).encode()
    with pytest.raises(MalformedData):
        opened(vault.MAGIC + len(text).to_bytes(4, "big") + text + bytes(100))


@any_time
@given(st.binary(max_size=300))
def test_anything_else_is_refused_with_a_clear_word(junk: bytes) -> None:
    for start in (b"", vault.MAGIC, vault.MAGIC + len(junk).to_bytes(4, "big")):
        with pytest.raises(MalformedData):
            opened(start + junk)


def manifest_of(packer: Packer, **changed: Any) -> Manifest:
    values: dict[str, Any] = {
        "taken_at": NOW, "host": "c", "larva_version": "0", "etcd_version": "3.4.23", "ca": "sha256:00", "revision": 1,
        "control_nodes": ("c",), "cladnets": (), "hosts": 1, "parts": packer.parts,
    }  # fmt: skip
    return Manifest(**{**values, **changed})


class Sink:
    """Keeps parts in memory."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}

    def __call__(self, name: str) -> BinaryIO:
        keep = self.parts

        class Kept(io.BytesIO):
            def close(self) -> None:
                keep[name] = self.getvalue()
                super().close()

        return Kept()


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 40))
def test_parts_come_back_however_the_stream_is_cut(pieces: list[bytes], cut: int) -> None:
    written = bytearray()
    packer = Packer(written.extend)
    packer.add("ca/ca.key", pieces)
    packer.add(archive.SNAPSHOT, [b"db"])
    manifest = manifest_of(packer)
    packer.finish(manifest)
    sink = Sink()
    stream = (bytes(written[start : start + cut]) for start in range(0, len(written), cut))
    assert archive.unpack(stream, sink) == manifest
    assert sink.parts == {"ca/ca.key": b"".join(pieces), archive.SNAPSHOT: b"db"}


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "/etc/passwd",
        "ca/../x",
        "ca/a/b/c",
        "ca/.hidden",
        "ca/",
        "etcd/data",
        "",
        "CA/ca.key",
        "ca/x\0",
    ],
)
def test_a_part_is_never_a_path_to_elsewhere(name: str) -> None:
    assert not archive.is_part(name)
    written = bytearray()
    packer = Packer(written.extend)
    packer.add(name, [b"x"])
    packer.finish(manifest_of(packer))
    sink = Sink()
    with pytest.raises(MalformedData):
        archive.unpack(iter([bytes(written)]), sink)
    assert not sink.parts


@pytest.mark.parametrize("change", ["format", "parts", "twice", "after", "endless"])
def test_parts_that_are_not_the_manifests_are_refused(change: str) -> None:
    written = bytearray()
    packer = Packer(written.extend)
    for _ in range(2 if change == "twice" else 1):
        packer.add("ca/ca.key", [b"key"])
    changed: dict[str, Any] = {"format": {"format": 2}, "parts": {"parts": ()}}.get(change, {})
    packer.finish(manifest_of(packer, **changed))
    if change == "after":
        written += b"more"
    if change == "endless":
        written[:4] = b"\xff\xff\xff\xff"
    with pytest.raises(MalformedData):
        archive.unpack(iter([bytes(written)]), Sink())


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_no_archive(junk: bytes) -> None:
    with pytest.raises(MalformedData):
        archive.unpack(iter([junk]), Sink())


@pytest.mark.parametrize("damage", ["none", "flip", "cut", "digest"])
def test_a_snapshot_is_held_against_its_own_digest(damage: str) -> None:
    import hashlib

    database = os.urandom(2048)
    whole = database + hashlib.sha256(database).digest()
    broken = {
        "none": whole, "flip": b"x" + whole[1:], "cut": whole[:-512], "digest": whole[:-32] + bytes(32),
    }[damage]  # fmt: skip
    for size in (1, 31, 33, 1000, 5000):
        blobs = [broken[start : start + size] for start in range(0, len(broken), size)]
        if damage == "none":
            assert b"".join(backup._checked(blobs)) == whole
        else:
            with pytest.raises(MalformedData, match="digest"):
                list(backup._checked(blobs))


def test_showing_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.backup"):
        backup.show(tmp_path / "none.backup", SECRET)
    (tmp_path / "junk.backup").write_bytes(b"junk")
    with pytest.raises(MalformedData, match=r"junk\.backup"):
        backup.show(tmp_path / "junk.backup", SECRET)


def test_a_file_that_is_not_finished_does_not_exist(tmp_path: Path) -> None:
    target = tmp_path / "x"
    files.write_whole(target, "old")

    def fill() -> None:
        with files.whole_file(target, mode=files.SECRET) as file:
            file.write(b"half")
            [temporary] = set(tmp_path.iterdir()) - {target}
            assert temporary.stat().st_mode & 0o777 == 0o600
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="space"):
        fill()
    assert (list(tmp_path.iterdir()), target.read_text()) == ([target], "old")


def test_the_last_few_backups_of_one_system_are_kept_whatever_the_clock_says(tmp_path: Path) -> None:
    others = [tmp_path / "notes.txt", tmp_path / "larva-bbbbbbbb-000001-20260101T000000Z.backup"]
    for path in others:
        path.write_text("")
    made = []
    for jump in itertools.accumulate([0, 1, -9000, 9000, -1, 5]):
        path = backup_shelf.next_place(tmp_path, "aaaaaaaa", now=NOW + timedelta(days=jump / 10))
        assert not path.exists()
        path.write_text("")
        made.append(path)
        backup_shelf.prune(tmp_path, "aaaaaaaa", keep=3)
        assert set(tmp_path.iterdir()) == {*others, *made[-3:]}
    with pytest.raises(InvalidInput):
        backup_shelf.prune(tmp_path, "aaaaaaaa", keep=0)


def test_one_backup_at_a_time_and_what_a_killed_one_left_is_cleared(tmp_path: Path) -> None:
    place = tmp_path / "made"
    with backup_shelf.locked(place):
        assert place.stat().st_mode & 0o777 == 0o700
        (place / ".larva-aaaaaaaa-000001-20260101T000000Z.backup.1234").write_text("half")
        with pytest.raises(Conflict, match="running"), backup_shelf.locked(place):
            pass
    with backup_shelf.locked(place):
        assert not list(place.iterdir())


RANGES = st.builds(lambda prefix: IPv4Network(f"10.9.0.0/{prefix}"), st.integers(24, 29))


@given(RANGES, st.data())
def test_half_of_what_is_free_is_withheld_and_the_next_restore_withholds_more(cidr: IPv4Network, data: Any) -> None:
    every = list(cidr.hosts())
    taken = data.draw(st.sets(st.sampled_from(every)))
    free = [address for address in every if address not in taken]
    last = withheld_to(cidr, taken)
    assert (last is None) == (not free)
    if last is None:
        return
    assert last in free
    withheld = [address for address in free if address <= last]
    assert len(withheld) == (len(free) + 1) // 2
    again = withheld_to(cidr, taken, last)
    assert again is not None
    left = [address for address in free if address > last]
    assert again == (left[(len(left) + 1) // 2 - 1] if left else last)


def test_a_large_range_takes_no_time() -> None:
    assert withheld_to(IPv4Network("10.0.0.0/8"), {IPv4Address("10.0.0.1")}) == IPv4Address("10.128.0.0")
