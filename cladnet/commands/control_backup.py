"""`larva control backup|backup-show|backup-key|restore|release`: the control plane in a file, and back."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from larva import files, output, process
from larva.errors import Conflict, InvalidInput, NotFound, SystemRefused

if TYPE_CHECKING:
    from cladnet.control import vault
    from cladnet.control.archive import Manifest

F = TypeVar("F", bound=Callable[..., Any])

PASSPHRASE_VARIABLE = "LARVA_BACKUP_PASSPHRASE"  # noqa: S105 - its name
_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What `larva control backup --json` prints."""

    path: Path
    bytes: int
    manifest: "Manifest"
    deleted: tuple[Path, ...] = ()
    """Older backups that were in the way of `--keep`."""


def _passphrase_option(function: F) -> F:
    return click.option(
        "--passphrase-file", type=_FILE, metavar="FILE",
        help=f"Whose first line is the passphrase. Without it ${PASSPHRASE_VARIABLE}, else it is asked for.",
    )(function)  # fmt: skip


def _key_option(function: F) -> F:
    return click.option(
        "--key-file", type=_FILE, metavar="FILE", help="The private key, if it was made for a recipient."
    )(function)


@click.command()
@click.argument("file", required=False, type=_FILE, metavar="[FILE]")
@click.option(
    "--to", "directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Instead of FILE: a new file in DIR, numbered.",
)  # fmt: skip
@click.option("--keep", type=click.IntRange(min=1), help="With --to: delete this system's older ones but the last N.")
@_passphrase_option
@click.option(
    "--recipient", metavar="KEY",
    help="Instead of a passphrase: a public key of `larva control backup-key`, or a file that holds one.",
)  # fmt: skip
@output.json_option
def backup(
    *, file: Path | None, directory: Path | None, keep: int | None, passphrase_file: Path | None,
    recipient: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Write everything that is lost with the control nodes into one encrypted file: etcd and the CA."""
    from cladnet.access.root import open_root, root_ca
    from cladnet.control import backup as backups
    from cladnet.control import backup_shelf as shelf
    from cladnet.member import Member

    if (file is None) == (directory is None):
        raise click.UsageError("give either FILE or --to DIR")
    if keep is not None and directory is None:
        raise click.UsageError("--keep goes with --to")
    process.require_root("a backup")
    host, system = Member.load().host, shelf.system_of(root_ca().fingerprint())
    lock = _lock(passphrase_file, recipient)
    deleted: tuple[Path, ...] = ()
    try:
        with open_root() as root:
            if directory is None and file is not None:
                path = file
                manifest = backups.take(root, host, path, lock)
            elif directory is not None:
                with shelf.locked(directory):
                    path = shelf.next_place(directory, system, now=datetime.now(UTC))
                    manifest = backups.take(root, host, path, lock)
                    deleted = shelf.prune(directory, system, keep=keep) if keep is not None else ()
    except OSError as error:
        raise SystemRefused(
            f"the backup could not be written: {error.strerror or error}",
            hint="nothing half made is left, and earlier backups are as they were; make room or take another place",
        ) from error
    taken = Taken(path=path, bytes=path.stat().st_size, manifest=manifest, deleted=deleted)
    if as_json:
        output.show_json(taken)
        return
    click.echo(taken.path)
    output.note(f"{taken.bytes / 1e6:.1f} MB; it holds the CA's key: keep it, and what opens it, apart and safe")


@click.command("backup-show")
@click.argument("file", type=_FILE)
@_passphrase_option
@_key_option
@output.json_option
def backup_show(*, file: Path, passphrase_file: Path | None, key_file: Path | None, as_json: bool) -> None:
    """Read a backup to its end, check every part, and tell what it is of."""
    from cladnet.control import backup as backups

    manifest = backups.show(file, _secret(passphrase_file, key_file))
    if as_json:
        output.show_json(manifest)
        return
    click.echo(
        f"system         {manifest.ca}\n"
        f"taken          {manifest.taken_at:%Y-%m-%d %H:%M:%SZ} on {manifest.host}, larva {manifest.larva_version}\n"
        f"etcd           {manifest.etcd_version}, revision {manifest.revision}\n"
        f"control nodes  {', '.join(manifest.control_nodes)}\n"
        f"CLADNets       {', '.join(manifest.cladnets) or 'none'}\n"
        f"hosts          {manifest.hosts}"
    )
    output.note(f"whole and unchanged: {len(manifest.parts)} parts")


@click.command("backup-key")
@click.argument("file", type=_FILE)
def backup_key(*, file: Path) -> None:
    """Make a key pair: the private key goes into FILE, which backups are then opened with; print the public one."""
    from cladnet import seal

    private, public = seal.new_pair()
    if not files.write_once(file, private + "\n", mode=files.SECRET):
        raise Conflict(f"{file} is there already", hint="give another name; without that key its backups are lost")
    click.echo(public)
    output.note(f"take {file} off this machine: only restoring needs it")


@click.command()
@click.argument("file", type=_FILE)
@click.option("--public-address", metavar="ADDRESS", help="What hosts reach this machine by; found out without it.")
@click.option("--host", metavar="NAME", help="This machine's name in the system; its host name without it.")
@click.option("--replace", "replace_old", is_flag=True, help="Move a control plane that is on this host aside.")
@_passphrase_option
@_key_option
@output.json_option
def restore(
    *, file: Path, public_address: str | None, host: str | None, replace_old: bool, passphrase_file: Path | None,
    key_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make this machine the control node of the system in FILE, after all others were lost for good."""
    from cladnet.commands import boot
    from cladnet.control import restore as restores
    from cladnet.enrol.join_file import JoinFile, join_file

    process.require_root("restoring")
    boot.require_systemd()
    found = JoinFile.load() if join_file().is_file() else JoinFile()
    wanted = restores.as_founder(found, host=host, public_address=_address(public_address))
    try:
        restored = restores.install(
            file, _secret(passphrase_file, key_file), wanted, replace_old=replace_old, stop_services=boot.stop_control
        )
    except OSError as error:
        raise SystemRefused(
            f"cannot restore: {error.filename or ''} {error.strerror or error}",
            hint="run it again when that is mended; it starts anew",
        ) from error
    wanted.save()
    member = boot.bring_up(wanted)
    restores.finish()
    if as_json:
        output.show_json(restored)
        return
    if restored.moved_to is not None:
        output.note(f"what was here before is in {restored.moved_to}")
    for name, last in (restored.cared.withheld if restored.cared else {}).items():
        output.note(f"{name}: addresses up to {last} wait for `larva control release`")
    output.note(f"{member.host} is the control node, at {member.server}. docs/operations.md says what is left to do")


@click.command()
@click.argument("cladnet", required=False)
@click.option("--all", "every", is_flag=True, help="Of every CLADNet.")
def release(*, cladnet: str | None, every: bool) -> None:
    """Let addresses be given again that were withheld after a restore: no host uses them without being enrolled."""
    from cladnet.control import aftercare
    from cladnet.etcd.store import Store

    if every == (cladnet is not None):
        raise click.UsageError("give a CLADNet or --all")
    with Store.of_this_host() as store:
        names = aftercare.release(store, cladnet)
    output.note(f"released: {', '.join(names)}" if names else "nothing was withheld")


COMMANDS = (backup, backup_show, backup_key, restore, release)


def _lock(passphrase_file: Path | None, recipient: str | None) -> "vault.Lock":
    from cladnet import curve25519
    from cladnet.control import vault

    if recipient is None:
        return vault.Passphrase(_passphrase(passphrase_file, new=True))
    if passphrase_file is not None:
        raise click.UsageError("give either --recipient or --passphrase-file")
    key = recipient if curve25519.is_key(recipient) else _first_line(Path(recipient))
    if not curve25519.is_key(key):
        raise InvalidInput(f"--recipient {recipient}: no public key", hint="`larva control backup-key` prints one")
    return vault.Recipient(key)


def _secret(passphrase_file: Path | None, key_file: Path | None) -> "vault.Secret":
    from cladnet.control import vault

    if key_file is None:
        return vault.Passphrase(_passphrase(passphrase_file, new=False))
    if passphrase_file is not None:
        raise click.UsageError("give either --key-file or --passphrase-file")
    return vault.PrivateKey(_first_line(key_file))


def _passphrase(file: Path | None, *, new: bool) -> str:
    if file is not None:
        return _first_line(file)
    if PASSPHRASE_VARIABLE in os.environ:
        return os.environ[PASSPHRASE_VARIABLE]
    if not sys.stdin.isatty():
        raise InvalidInput(
            "no passphrase is given, and nobody is there to ask",
            hint=f"--passphrase-file FILE, or ${PASSPHRASE_VARIABLE}",
        )
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=new))


def _first_line(file: Path) -> str:
    try:
        return file.read_text().split("\n", 1)[0].strip()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {file}") from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error


def _address(text: str | None) -> IPv4Address | None:
    try:
        return IPv4Address(text) if text is not None else None
    except ValueError as error:
        raise InvalidInput(f"--public-address {text!r} is no IPv4 address") from error
