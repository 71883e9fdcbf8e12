"""Commands to the monitors through librados: typed answers, bounded in time.

`rados` is imported when a connection is made: only the appliance has it.
"""

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from larva import codec
from larva.errors import (
    Conflict,
    HostUnfit,
    InvalidInput,
    LarvaError,
    NotFound,
    ProgramFailed,
    Refused,
    Unavailable,
)

T = TypeVar("T")

CONNECT_S = 10
COMMAND_S = 20
TELL_S = 4
"""For an OSD's own answer: one that is gone must not hold up what is asked of the others."""


class Monitors:
    """A connection to the monitors; use it in a `with`.

    Args:
        configuration: a ceph.conf.
        entity: whom to speak as, `client.admin`.
        keyring: the file with its key.

    Raises:
        Unavailable: no quorum answers.
        Refused: they do not know the key.
        HostUnfit: this machine has no librados.
    """

    def __init__(self, configuration: Path, *, entity: str, keyring: Path) -> None:
        try:
            import rados
        except ImportError as error:
            raise HostUnfit(
                "Ceph's Python module rados is not here", hint="run this on a storage host of the appliance"
            ) from error
        self._rados: Any = rados
        try:
            self._cluster: Any = rados.Rados(
                conffile=str(configuration),
                name=entity,
                conf={
                    "keyring": str(keyring),
                    "client_mount_timeout": str(CONNECT_S),
                    "rados_mon_op_timeout": str(COMMAND_S),
                    "log_to_stderr": "false",
                    "log_file": "",
                },
            )
        except rados.Error as error:
            raise Unavailable(
                f"{configuration} cannot be used: {error}", hint="it is written once the host joined"
            ) from error
        try:
            self._cluster.connect(timeout=CONNECT_S)
        except rados.Error as error:
            self._cluster.shutdown()
            raise _connect_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._cluster.shutdown()

    def ask(self, prefix: str, wanted: type[T], *, stdin: bytes = b"", **arguments: object) -> T:
        """Run a command and return its JSON answer as a `wanted`; MalformedData if it is none."""
        answer = self.run(prefix, stdin=stdin, format="json", **arguments)
        return codec.decode(answer, wanted, source=f"ceph {prefix}")

    def run(self, prefix: str, *, stdin: bytes = b"", **arguments: object) -> bytes:
        """Run a command and return its answer as it comes.

        Args:
            prefix: the command's words, as `osd pool create`.
            stdin: what the command line would read from its input (`-i`).
            arguments: its parameters by Ceph's own names (`ceph --show-commands`, MonCommands.h).

        Raises:
            NotFound, Conflict, Refused, InvalidInput: ENOENT, EEXIST, EACCES and EPERM, EINVAL.
            Unavailable: no answer in time.
            ProgramFailed: anything else; the message has Ceph's own words.
        """
        command = json.dumps({"prefix": prefix, **arguments})
        try:
            code, answer, words = self._cluster.mon_command(command, stdin, timeout=COMMAND_S)
        except self._rados.Error as error:
            raise Unavailable(f"ceph {prefix}: {error}", hint="is a majority of the monitors reachable?") from error
        if code != 0:
            raise _command_error(prefix, -code, words)
        return bytes(answer)

    def ask_osd(self, osd: int, prefix: str, wanted: type[T], **arguments: object) -> T:
        """Run a command of an OSD's own, as `perf dump`; errors as run(), Unavailable above all when it is down."""
        return self._tell(f"osd.{osd}", prefix, self._cluster.osd_command, osd, wanted, arguments)

    def ask_group(self, group: str, prefix: str, wanted: type[T], **arguments: object) -> T:
        """Run a command of a placement group's own, as `query` of `2.1f`; its primary answers."""
        return self._tell(f"pg {group}", prefix, self._cluster.pg_command, group, wanted, arguments)

    def _tell(
        self, whom: str, prefix: str, command: Any, target: object, wanted: type[T], arguments: Mapping[str, object]
    ) -> T:
        words = json.dumps({"prefix": prefix, "format": "json", **arguments})
        try:
            code, answer, told = command(target, words, b"", timeout=TELL_S)
        except self._rados.Error as error:
            raise Unavailable(f"{whom} does not answer: {error}", hint="is it up?") from error
        if code != 0:
            raise _command_error(f"tell {whom} {prefix}", -code, told)
        return codec.decode(bytes(answer), wanted, source=f"ceph tell {whom} {prefix}")


def _connect_error(error: Exception) -> LarvaError:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return Refused("the monitors refuse this host's key", hint="it may belong to an earlier cluster")
    return Unavailable(
        f"no monitor quorum answers within {CONNECT_S} s ({error})",
        hint="`larva storage status` names the monitors; a majority must run and be reachable over the CLADNet",
    )


_ERRORS: Mapping[int, type[LarvaError]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: Conflict,
    errno.EACCES: Refused,
    errno.EPERM: Refused,
    errno.EINVAL: InvalidInput,
    errno.ETIMEDOUT: Unavailable,
    errno.EINTR: Unavailable,
    errno.ENXIO: Unavailable,
}


def _command_error(prefix: str, number: int, words: str) -> LarvaError:
    name = errno.errorcode.get(number, str(number))
    return _ERRORS.get(number, ProgramFailed)(f"ceph {prefix}: {words or 'no words'} ({name})")
