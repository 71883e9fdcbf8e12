"""The seal: what was changed, added by name, or signed by somebody else is refused."""

import stat
import subprocess
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from images import seal
from images.cli import image
from larva.errors import MalformedData, NotFound, Refused


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    seal.signing_key(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def sealed(tmp_path: Path, keys: Path) -> Path:
    directory = tmp_path / "image"
    directory.mkdir()
    for name in ("larva.qcow2", "larva.spdx.json", "manifest.json"):
        (directory / name).write_text(f"this is {name}")
    seal.write(directory, seal.signing_key(keys), comment="larva 1 full disk/abc")
    return directory


def test_what_was_sealed_is_whole(sealed: Path, keys: Path) -> None:
    assert seal.check(sealed, seal.public_key(keys)) == "larva 1 full disk/abc"
    assert seal.check(sealed, seal.public_key(keys), only=["larva.qcow2"]) == "larva 1 full disk/abc"


def test_a_stranger_checks_it_with_two_programs(sealed: Path, keys: Path) -> None:
    subprocess.run(
        ["minisign", "-V", "-p", seal.public_key(keys), "-m", seal.SUMS], cwd=sealed, check=True, capture_output=True
    )
    subprocess.run(["sha256sum", "--strict", "-c", seal.SUMS], cwd=sealed, check=True, capture_output=True)


def test_sealing_the_same_makes_the_same_seal(sealed: Path, keys: Path) -> None:
    before = {name: (sealed / name).read_bytes() for name in (seal.SUMS, seal.SIGNATURE)}
    for name in before:
        (sealed / name).unlink()
    seal.write(sealed, seal.signing_key(keys), comment="larva 1 full disk/abc")
    assert {name: (sealed / name).read_bytes() for name in before} == before


def test_the_secret_key_is_private_and_stays(keys: Path) -> None:
    secret = keys / "image-signing.key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    before = secret.read_bytes(), seal.public_key(keys).read_bytes()
    seal.public_key(keys).unlink()
    seal.signing_key(keys)
    assert (secret.read_bytes(), seal.public_key(keys).read_bytes()) == before


def test_a_lost_secret_key_is_told_and_none_is_made_in_its_place(keys: Path) -> None:
    (keys / "image-signing.key").unlink()
    with pytest.raises(NotFound, match=r"its secret key .* is not") as lost:
        seal.signing_key(keys)
    assert "put the secret key back" in lost.value.hint
    assert not (keys / "image-signing.key").exists()


def test_a_secret_key_that_belongs_to_another_public_one_signs_nothing(keys: Path, tmp_path: Path) -> None:
    before = seal.public_key(keys).read_bytes()
    (keys / "image-signing.key").write_bytes(seal.signing_key(tmp_path / "other").read_bytes())
    with pytest.raises(Refused, match="is not the public half"):
        seal.signing_key(keys)
    assert seal.public_key(keys).read_bytes() == before


def test_the_comment_of_a_public_key_is_anybody_s(keys: Path) -> None:
    public = seal.public_key(keys)
    public.write_text("untrusted comment: ours\n" + public.read_text().splitlines()[1] + "\n")
    assert seal.signing_key(keys) == keys / "image-signing.key"


def test_a_file_that_is_no_secret_key_is_told(keys: Path) -> None:
    (keys / "image-signing.key").write_text("garbage\n")
    with pytest.raises(Refused, match="is no secret key of minisign"):
        seal.signing_key(keys)


def test_of_several_builds_at_once_one_makes_the_key(tmp_path: Path) -> None:
    threads = [threading.Thread(target=seal.signing_key, args=(tmp_path,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").write_text("x")
    seal.write(tmp_path / "x", seal.signing_key(tmp_path), comment="x")
    seal.check(tmp_path / "x", seal.public_key(tmp_path))


@pytest.mark.parametrize("name", ["larva.qcow2", "larva.spdx.json", "manifest.json"])
@pytest.mark.parametrize("how", ["changed", "longer", "gone", "linked"])
def test_a_changed_file_is_named(name: str, how: str, sealed: Path, keys: Path, tmp_path: Path) -> None:
    file = sealed / name
    match how:
        case "changed":
            file.write_text(file.read_text().replace("this", "That"))
        case "longer":
            file.write_text(file.read_text() + " ")
        case "gone":
            file.unlink()
        case "linked":
            file.rename(tmp_path / "elsewhere")
            file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MalformedData, match=f"not what was signed: {name}"):
        seal.check(sealed, seal.public_key(keys))
    done = CliRunner().invoke(image, ["verify-signature", str(sealed), "--key", str(seal.public_key(keys))])
    assert isinstance(done.exception, MalformedData)


def test_changed_checksums_are_refused(sealed: Path, keys: Path) -> None:
    (sealed / "larva.qcow2").write_text("another")
    sums = sealed / seal.SUMS
    changed = subprocess.run(["sha256sum", "larva.qcow2"], cwd=sealed, check=True, capture_output=True, text=True)
    sums.write_text(
        "".join(changed.stdout if "qcow2" in line else f"{line}\n" for line in sums.read_text().splitlines())
    )
    with pytest.raises(Refused, match="is not signed by the key"):
        seal.check(sealed, seal.public_key(keys))


def test_another_s_signature_is_refused(sealed: Path, keys: Path, tmp_path: Path) -> None:
    other = seal.signing_key(tmp_path / "other")
    for name in (seal.SUMS, seal.SIGNATURE):
        (sealed / name).unlink()
    seal.write(sealed, other, comment="larva 1 full disk/abc")
    with pytest.raises(Refused, match="is not signed by the key"):
        seal.check(sealed, seal.public_key(keys))
    assert seal.check(sealed, seal.public_key(other.parent))


def test_a_signed_comment_cannot_be_changed(sealed: Path, keys: Path) -> None:
    signature = sealed / seal.SIGNATURE
    signature.write_text(signature.read_text().replace("larva 1 full", "larva 9 full"))
    with pytest.raises(Refused):
        seal.check(sealed, seal.public_key(keys))


@pytest.mark.parametrize("missing", [seal.SUMS, seal.SIGNATURE])
def test_what_is_not_sealed_is_told(missing: str, sealed: Path, keys: Path) -> None:
    (sealed / missing).unlink()
    with pytest.raises(NotFound, match="has no signed SHA256SUMS"):
        seal.check(sealed, seal.public_key(keys))


def test_without_a_key_nothing_is_believed(sealed: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no key to check") as missing:
        seal.check(sealed, tmp_path / "nothing.pub")
    assert "larva image verify-signature PLACE --key" in missing.value.hint
    (tmp_path / "garbage.pub").write_text("garbage")
    with pytest.raises(Refused):
        seal.check(sealed, tmp_path / "garbage.pub")


@pytest.mark.parametrize(
    "line", ["x", f"{'0' * 64}  ../../etc/passwd", f"{'0' * 64}  ..", f"{'0' * 63}  file", f"{'0' * 64} *file", ""]
)
def test_a_list_of_another_form_is_refused_though_it_is_signed(line: str, keys: Path, tmp_path: Path) -> None:
    (tmp_path / seal.SUMS).write_text(f"{line}\n")
    subprocess.run(
        ["minisign", "-S", "-W", "-s", seal.signing_key(keys), "-m", tmp_path / seal.SUMS], check=True, timeout=30
    )
    with pytest.raises(MalformedData, match="is no checksum"):
        seal.check(tmp_path, seal.public_key(keys))


def test_a_file_that_nobody_signed_is_refused(sealed: Path, keys: Path) -> None:
    (sealed / "extra.qcow2").write_text("extra")
    with pytest.raises(MalformedData, match=r"does not list extra\.qcow2"):
        seal.check(sealed, seal.public_key(keys), only=["extra.qcow2"])
    command = ["verify-signature", "--key", str(seal.public_key(keys))]
    done = CliRunner().invoke(image, [*command, str(sealed / "extra.qcow2")])
    assert isinstance(done.exception, MalformedData)
    done = CliRunner().invoke(image, [*command, str(sealed / "larva.qcow2")])
    assert done.output == "signed: larva 1 full disk/abc\n"
