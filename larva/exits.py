"""Where an error becomes a message and an exit code, for commands and services alike."""

import errno
import sys
from collections.abc import Callable
from typing import NoReturn

from larva import settings
from larva.errors import ExitCode, LarvaError, SystemRefused

_HINTS = {
    errno.ENOSPC: "the disk is full; make room and run it again",
    errno.EDQUOT: "the disk quota is used up; make room and run it again",
    errno.EROFS: "the file system is read-only; see `dmesg` for why",
    errno.EACCES: "run the same command with sudo",
    errno.EPERM: "run the same command with sudo",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`)",
}


def ending(run: Callable[[], object]) -> NoReturn:
    """Run something and exit with its code; an error is told on standard error, with its traceback only on request."""
    try:
        code = run()
    except KeyboardInterrupt:
        stopped()
    except BrokenPipeError:
        sys.exit(int(ExitCode.IO))
    except LarvaError as error:
        if settings.debug():
            raise
        fail(error)
    except OSError as error:
        if settings.debug():
            raise
        fail(_refused_by_the_system(error))
    except Exception as error:  # a defect of ours
        if settings.debug():
            raise
        _tell(f"larva: {type(error).__name__}: {error}", "this is a defect; run again with --debug to see where")
        sys.exit(int(ExitCode.INTERNAL))
    sys.exit(code if isinstance(code, int) else 0)


def fail(error: LarvaError) -> NoReturn:
    """Print the error and its hint on standard error and exit with its code."""
    _tell(f"larva: {error.message}", error.hint)
    sys.exit(int(error.exit_code))


def stopped() -> NoReturn:
    """Exit as somebody asked for."""
    sys.stderr.write("larva: stopped\n")
    sys.exit(130)


def _refused_by_the_system(error: OSError) -> LarvaError:
    """What to say of a file or socket that nobody further in foresaw."""
    where = f"{error.filename}: " if error.filename is not None else ""
    hint = _HINTS.get(error.errno or 0, "run again with --debug to see where")
    return SystemRefused(f"{where}{error.strerror or error}", hint=hint)


def _tell(message: str, hint: str) -> None:
    red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{red}{message}{plain}\n" + (f"  hint: {hint}\n" if hint else ""))
