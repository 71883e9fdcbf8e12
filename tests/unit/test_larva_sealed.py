"""A seal read without minisign: what that program refuses is refused here, too."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from images import seal
from larva import sealed
from larva.errors import LarvaError, MalformedData, NotFound, ProgramFailed, Refused


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    seal.signing_key(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def image(tmp_path: Path, keys: Path) -> Path:
    directory = tmp_path / "image"
    directory.mkdir()
    (directory / "larva.qcow2").write_text("a disk")
    seal.write(directory, seal.signing_key(keys), comment="larva 1 full, 디스크")
    return directory


def test_what_was_sealed_is_read(image: Path, keys: Path) -> None:
    found = sealed.read(image, sealed.public_key(keys))
    assert found.comment == "larva 1 full, 디스크"
    assert list(found.sha256) == ["larva.qcow2"]


@pytest.mark.parametrize("method", ["-H", "-l"])
def test_either_method_of_minisign_is_read(method: str, image: Path, keys: Path) -> None:
    (image / sealed.SIGNATURE).unlink()
    secret = keys / "image-signing.key"
    subprocess.run(["minisign", "-S", method, "-W", "-s", secret, "-m", image / sealed.SUMS], check=True, timeout=30)
    assert sealed.read(image, sealed.public_key(keys)).sha256


def spoilt_signature(position: int) -> Callable[[bytes], bytes]:
    def spoil(signature: bytes) -> bytes:
        lines = signature.splitlines()
        changed = bytearray(base64.b64decode(lines[1]))
        changed[position] ^= 1
        lines[1] = base64.b64encode(changed)
        return b"\n".join(lines) + b"\n"

    return spoil


CHANGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a checksum": (sealed.SUMS, lambda text: (b"1" if text[:1] == b"0" else b"0") + text[1:]),
    "a line more": (sealed.SUMS, lambda text: text + b"0" * 64 + b"  other\n"),
    "the comment": (sealed.SIGNATURE, lambda text: text.replace(b"larva 1 full", b"larva 9 full")),
    "the signature": (sealed.SIGNATURE, spoilt_signature(20)),
    "the key's id": (sealed.SIGNATURE, spoilt_signature(4)),
    "the method": (sealed.SIGNATURE, spoilt_signature(0)),
    "an end too early": (sealed.SIGNATURE, lambda text: b"\n".join(text.splitlines()[:2])),
    "no base64": (sealed.SIGNATURE, lambda text: text.replace(text.splitlines()[1], b"?" * 100)),
    "nothing": (sealed.SIGNATURE, lambda text: b""),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_is_changed_is_refused_as_minisign_refuses_it(what: str, image: Path, keys: Path) -> None:
    name, change = CHANGES[what]
    before = (image / name).read_bytes()
    (image / name).write_bytes(change(before))
    assert (image / name).read_bytes() != before
    with pytest.raises((Refused, MalformedData)):
        sealed.read(image, sealed.public_key(keys))
    with pytest.raises((Refused, ProgramFailed)):
        seal.check(image, sealed.public_key(keys))


def test_another_s_key_believes_nothing(image: Path, tmp_path: Path) -> None:
    seal.signing_key(tmp_path / "other")
    with pytest.raises(Refused, match="is not signed by the key"):
        sealed.read(image, sealed.public_key(tmp_path / "other"))


def test_a_signature_by_another_key_under_the_right_id_is_refused(image: Path, keys: Path, tmp_path: Path) -> None:
    other = seal.signing_key(tmp_path / "other")
    (image / sealed.SIGNATURE).unlink()
    (image / sealed.SUMS).unlink()
    seal.write(image, other, comment="x")
    public, signature = sealed.public_key(keys), image / sealed.SIGNATURE
    its_id = base64.b64decode(public.read_bytes().splitlines()[-1])[2:10]
    lines = signature.read_bytes().splitlines()
    raw = base64.b64decode(lines[1])
    lines[1] = base64.b64encode(raw[:2] + its_id + raw[10:])
    signature.write_bytes(b"\n".join(lines))
    with pytest.raises(Refused):
        sealed.read(image, public)


@pytest.mark.parametrize("missing", [sealed.SUMS, sealed.SIGNATURE])
def test_what_is_missing_is_named(missing: str, image: Path, keys: Path) -> None:
    (image / missing).unlink()
    with pytest.raises(NotFound, match=missing):
        sealed.read(image, sealed.public_key(keys))


@pytest.mark.parametrize("key", [b"", b"garbage", b"untrusted comment: x\n" + b"A" * 56 + b"\n", b"x" * (2 << 20)])
def test_a_key_that_is_none_is_told(key: bytes, image: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        sealed.read(image, tmp_path / "x.pub")
    (tmp_path / "x.pub").write_bytes(key)
    with pytest.raises(LarvaError, match=r"x\.pub"):
        sealed.read(image, tmp_path / "x.pub")
