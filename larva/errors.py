"""The error tree: what was wanted, what was found, and what the reader can do."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `larva`; the values above 64 follow sysexits(3)."""

    FAILURE = 1
    USAGE = 2
    BAD_DATA = 65
    NOT_FOUND = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    HOST = 71
    CONFLICT = 73
    IO = 74
    TEMPORARY = 75
    REFUSED = 77
    CONFIG = 78


class LarvaError(Exception):
    """Anything the user can understand and act on.

    Args:
        message: what was wanted and what was found, one sentence.
        hint: what the reader can do about it; empty when there is nothing.
    """

    exit_code: ExitCode = ExitCode.FAILURE
    code: str = "failure"
    """A stable word for programs: the `code` of an HTTP problem document."""
    http_status: int = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(LarvaError):
    """The user gave something that cannot mean what is needed."""

    exit_code = ExitCode.USAGE
    code = "invalid-input"
    http_status = 422


class MalformedData(LarvaError):
    """Data from outside (etcd, HTTP, a file) does not have the agreed form."""

    exit_code = ExitCode.BAD_DATA
    code = "malformed-data"
    http_status = 400


class NotFound(LarvaError):
    """The named thing does not exist."""

    exit_code = ExitCode.NOT_FOUND
    code = "not-found"
    http_status = 404


class Conflict(LarvaError):
    """The named thing exists already, or somebody else changed it meanwhile."""

    exit_code = ExitCode.CONFLICT
    code = "conflict"
    http_status = 409


class Unavailable(LarvaError):
    """A service that is needed does not answer."""

    exit_code = ExitCode.UNAVAILABLE
    code = "unavailable"
    http_status = 503


class Refused(LarvaError):
    """The caller is not allowed to do this."""

    exit_code = ExitCode.REFUSED
    code = "refused"
    http_status = 403


class HostUnfit(LarvaError):
    """This machine lacks something: root, a device, a program, disk space."""

    exit_code = ExitCode.HOST
    code = "host-unfit"


class ProgramFailed(LarvaError):
    """An external program failed; the message ends with its last lines."""

    exit_code = ExitCode.FAILURE
    code = "program-failed"


class SystemRefused(LarvaError):
    """The operating system refused a file or a socket: no space, no right, read-only."""

    exit_code = ExitCode.IO
    code = "system-refused"


class TimedOut(LarvaError):
    """Something did not happen within its bound."""

    exit_code = ExitCode.TEMPORARY
    code = "timed-out"
    http_status = 504
