"""`/etc/larva/join.toml`: what user-data says of a host: its roles, whom to join, what its cloud is called."""

import dataclasses
import difflib
import logging
import re
import socket
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cladnet import keys
from cladnet.model import CloudFacts, Role
from larva import codec, files, settings, toml
from larva.errors import InvalidInput, MalformedData, NotFound

log = logging.getLogger(__name__)

_LONGEST_SHOWN = 200
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """`[join]`: whom to join."""

    server: str
    """The console's URL, `https://ADDRESS:PORT`."""
    servers: tuple[str, ...] = ()
    """Further consoles of the same system, asked where that one does not answer."""
    ca: str
    """Fingerprint of the system's CA, which is pinned: `sha256:` and 64 hexadecimal digits."""
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """`[control]`: for the role control."""

    public_address: IPv4Address | None = None
    """What other clouds reach; None leaves it to the provider's metadata."""
    admin_password: str | None = field(default=None, repr=False)
    """The console's first account; None has one generated."""
    images: Path | None = None
    """Where images lie that the console hands out, a sealed directory each; None is `/var/lib/larva/images`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """`[storage]`: for the role storage."""

    devices: tuple[Path, ...] = ()
    """Block devices or files for OSDs."""
    encrypt: bool = False
    """Whether what those OSDs write is encrypted on the devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFile:
    """The whole file."""

    roles: tuple[Role, ...] = (Role.MEMBER,)
    host: str | None = None
    """The name in the system; None takes the machine's host name."""
    join: Join | None = None
    """None on the node that founds the system."""
    control: Control = field(default_factory=Control)
    cloud: CloudFacts = field(default_factory=CloudFacts)
    storage: Storage = field(default_factory=Storage)

    @classmethod
    def load(cls) -> Self:
        """Return this host's join file.

        Raises:
            NotFound: there is none.
            MalformedData: it cannot be read, has unknown names or wrong types; the message has the path in the file.
            InvalidInput: what it says does not make sense together.
        """
        path = join_file()
        if not path.is_file():
            raise NotFound(
                f"{path} is not there",
                hint="put it there by user-data (`larva enrol token create --user-data`), or run `larva join`",
            )
        if path.stat().st_mode & 0o077:
            log.warning("%s could be read by others and holds a token; its mode is now 0600", path)
            path.chmod(files.SECRET)
        found = codec.read_toml(path, dict[str, Any])
        _refuse_unknown(found, cls, source=str(path), where="")
        return codec.convert(found, cls, source=str(path)).checked(source=str(path))

    def checked(self, *, source: str) -> Self:
        """Return itself if its parts make sense together; InvalidInput, naming `source` and the part, otherwise."""

        def wrong(where: str, what: str, hint: str) -> InvalidInput:
            return InvalidInput(f"{source}: {where}: {what}", hint=hint)

        if not self.roles:
            raise wrong("roles", "no role is given", f"give some of: {', '.join(Role)}")
        if len(set(self.roles)) != len(self.roles):
            raise wrong("roles", "a role is given twice", "give each once")
        if self.host is not None:
            keys.segment(self.host, what=f"{source}: host")
        if self.join is None and Role.CONTROL not in self.roles:
            raise wrong(
                "join",
                "the section is missing",
                "only the first control node has none; `larva enrol token create` prints it",
            )
        if self.join is not None:
            check_server(self.join.server, what=f"{source}: join.server")
            for number, server in enumerate(self.join.servers):
                check_server(server, what=f"{source}: join.servers[{number}]")
            if not _FINGERPRINT.fullmatch(self.join.ca):
                raise wrong(
                    "join.ca", "expected sha256: and 64 hexadecimal digits", "`larva enrol token create` prints it"
                )
            if not self.join.token:
                raise wrong("join.token", "the token is empty", "`larva enrol token create` prints one")
        if self.control.images is not None and not self.control.images.is_absolute():
            raise wrong("control.images", f"{self.control.images} is not absolute", "start the path with /")
        for number, device in enumerate(self.storage.devices):
            if not device.is_absolute():
                raise wrong(f"storage.devices[{number}]", f"{device} is not absolute", "start the path with /")
        return self

    def save(self) -> None:
        """Write it whole, 0600."""
        join_file().parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        files.write_whole(join_file(), self.text(), mode=files.SECRET)

    def text(self) -> str:
        """Return it as TOML, without what is empty."""
        return toml.encode(_without_empty(codec.to_builtins(self)))

    def host_name(self) -> str:
        """The host's name in the system; InvalidInput if the machine's own name cannot be one."""
        return self.host or keys.segment(socket.gethostname().split(".")[0].lower(), what="this machine's host name")


def join_file() -> Path:
    """Where cloud-init or `larva join` writes it."""
    return settings.config_directory() / "join.toml"


def check_server(url: str, *, what: str) -> str:
    """Return the URL of a console without a trailing slash; InvalidInput unless it is `https://HOST[:PORT]`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and parts.port != 0 and parts.path in ("", "/")
        usable = usable and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        usable = False
    if not usable:
        shown = url.rpartition("@")[2]  # what stands before it may be a password
        raise InvalidInput(
            f"{what}: {shown[:_LONGEST_SHOWN]!r} is not a console's address",
            hint="give https://ADDRESS:PORT, as https://203.0.113.10:8443",
        )
    return url.rstrip("/")


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        inner = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, False, "", {}, [], ())}
    return value


def _refuse_unknown(found: Mapping[str, Any], wanted: Any, *, source: str, where: str) -> None:
    """A misspelt name must not be passed over: the host would come up as something else than was asked for."""
    known = {item.name for item in dataclasses.fields(wanted)}
    types = typing.get_type_hints(wanted)
    for name, value in found.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise MalformedData(
                f"{source}: {where}{name}: unknown name",
                hint=f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}",
            )
        choices = [kind for kind in (types[name], *typing.get_args(types[name])) if dataclasses.is_dataclass(kind)]
        if choices and isinstance(value, Mapping):
            _refuse_unknown(value, choices[0], source=source, where=f"{where}{name}.")
