"""The seal of what is handed out: SHA256SUMS of every file, signed with minisign; anybody checks it with two programs.

minisign -V -p image-signing.pub -m SHA256SUMS && sha256sum -c SHA256SUMS
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from images.artifact import describe
from larva import files, process, sealed
from larva.errors import MalformedData, NotFound, ProgramFailed, Refused

SUMS = sealed.SUMS
SIGNATURE = sealed.SIGNATURE
TIMEOUT_S = 30


def signing_key(directory: Path) -> Path:
    """Return the secret key that signs images in a directory for configuration, made now if there is no key at all.

    Its public half lies beside it, named `.pub`. Of several callers at once one makes the key.

    Raises:
        NotFound: the public half is there and the secret key is not: a new one would sign what nobody believes.
        Refused: the two do not belong together, or the secret key is none.
    """
    secret, public = directory / "image-signing.key", public_key(directory)
    was_public = public.exists()  # asked first: whoever makes a key writes the secret one first
    process.require_programs("minisign")
    if not secret.exists():
        if was_public:
            raise NotFound(
                f"{public} is there, and its secret key {secret} is not",
                hint=f"put the secret key back; or remove {public}, and build all images anew with another key",
            )
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / "key"
            process.run(["minisign", "-G", "-W", "-s", made, "-p", made.with_suffix(".pub")], timeout=TIMEOUT_S)
            files.write_once(secret, made.read_bytes(), mode=files.SECRET)
    derived = _public_half(secret)
    if not public.exists():
        files.write_once(public, derived)
    if _without_comments(public.read_bytes()) != _without_comments(derived):
        raise Refused(
            f"{public} is not the public half of {secret}",
            hint="put back the one that was exchanged; what is signed by the other is refused here",
        )
    return secret


def _public_half(secret: Path) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "key.pub"
        try:
            process.run(["minisign", "-R", "-W", "-s", secret, "-p", made], timeout=TIMEOUT_S)
        except ProgramFailed as error:
            raise Refused(
                f"{secret} is no secret key of minisign without a password",
                hint="put the right file back; builds run unattended, and nobody types a password",
            ) from error
        return made.read_bytes()


def _without_comments(key: bytes) -> list[bytes]:
    return [line.strip() for line in key.splitlines() if not line.startswith(b"untrusted comment:")]


def public_key(directory: Path) -> Path:
    """Return where the public key lies whose images are believed."""
    return sealed.public_key(directory)


def write(directory: Path, secret: Path, *, comment: str) -> None:
    """Write checksums of every file in the directory, and sign them.

    Args:
        comment: signed as well, and shown by who verifies.
    """
    lines = [f"{describe(path).sha256}  {path.name}\n" for path in sorted(directory.iterdir())]
    (directory / SUMS).write_text("".join(lines))
    process.run(
        ["minisign", "-S", "-W", "-s", secret, "-m", directory / SUMS, "-x", directory / SIGNATURE,
         "-t", comment, "-c", "signature of SHA256SUMS"],
        timeout=TIMEOUT_S,
    )  # fmt: skip


def check(directory: Path, public: Path, *, only: Iterable[str] = ()) -> str:
    """Check the signature, then every file that is listed; return the signed comment.

    Args:
        only: look at these files alone, all of which must be listed.

    Raises:
        NotFound: there is no seal, or no key to check it with.
        Refused: the signature is not the key's, or is of something else.
        MalformedData: a file is not what is listed, or is missing; the message names it.
    """
    if not public.is_file():
        raise NotFound(
            f"there is no key to check the image with: {public}",
            hint="an image that was built elsewhere: `larva image verify-signature PLACE --key` its publisher's `.pub`",
        )
    if not (directory / SUMS).is_file() or not (directory / SIGNATURE).is_file():
        raise NotFound(f"{directory} has no signed {SUMS}", hint="build the image again, or fetch both files")
    process.require_programs("minisign")
    try:
        said = process.run(
            ["minisign", "-V", "-p", public, "-m", directory / SUMS, "-x", directory / SIGNATURE], timeout=TIMEOUT_S
        )
    except ProgramFailed as error:
        raise Refused(
            f"{directory / SUMS} is not signed by the key {public}",
            hint="do not use this image: it was changed, or is signed by somebody else",
        ) from error
    listed = sealed.parse((directory / SUMS).read_bytes(), source=str(directory / SUMS))
    wanted = set(only)
    if unknown := wanted - listed.keys():
        raise MalformedData(f"{directory / SUMS} does not list {', '.join(sorted(unknown))}")
    wrong = [name for name in sorted(wanted or listed) if _is_not(directory / name, listed[name])]
    if wrong:
        raise MalformedData(
            f"in {directory}, not what was signed: {', '.join(wrong)}",
            hint=f"remove {directory.resolve()}, then build or fetch it again",
        )
    return said.partition("Trusted comment: ")[2].strip()


def _is_not(path: Path, sha256: str) -> bool:
    return path.is_symlink() or not path.is_file() or describe(path).sha256 != sha256
