"""The command `larva`: finds its sub-commands by entry point and turns errors into messages and exit codes."""

import errno
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

from larva import __version__, log
from larva.errors import ExitCode, LarvaError, SystemRefused

COMMANDS = "larva.commands"
_HINTS = {
    errno.ENOSPC: "the disk is full; make room and run it again",
    errno.EDQUOT: "the disk quota is used up; make room and run it again",
    errno.EROFS: "the file system is read-only; see `dmesg` for why",
    errno.EACCES: "run the same command with sudo",
    errno.EPERM: "run the same command with sudo",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`)",
}


class EntryPointGroup(click.Group):
    """A click group whose commands are the installed entry points; each is loaded when it is asked for."""

    def _found(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=COMMANDS)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._found()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = self._found().get(cmd_name)
        if point is None:
            return super().get_command(ctx, cmd_name)
        command = point.load()
        if not isinstance(command, click.Command):
            raise TypeError(f"entry point {point.value} is not a click command")
        return command


@click.group(cls=EntryPointGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="larva")
@click.option("--debug", is_flag=True, envvar="LARVA_DEBUG", help="Show tracebacks and every program that is run.")
def larva(*, debug: bool) -> None:
    """One network and one storage for VMs of different clouds."""
    if debug:
        os.environ["LARVA_DEBUG"] = "1"
    log.set_up(debug=debug)


def fail(error: LarvaError) -> NoReturn:
    """Print the error and its hint on standard error and exit with its code."""
    click.secho(f"larva: {error.message}", err=True, fg="red")
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)
    sys.exit(int(error.exit_code))


def _refused_by_the_system(error: OSError) -> LarvaError:
    """What to say of a file or socket that nobody further in foresaw."""
    where = f"{error.filename}: " if error.filename is not None else ""
    hint = _HINTS.get(error.errno or 0, "run again with --debug to see where")
    return SystemRefused(f"{where}{error.strerror or error}", hint=hint)


def main() -> NoReturn:
    """Run `larva`; the only place where an error becomes an exit code."""
    try:
        code = larva.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("larva: stopped", err=True)
        sys.exit(130)
    except LarvaError as error:
        if os.environ.get("LARVA_DEBUG"):
            raise
        fail(error)
    except BrokenPipeError:
        sys.exit(int(ExitCode.IO))
    except OSError as error:
        if os.environ.get("LARVA_DEBUG"):
            raise
        fail(_refused_by_the_system(error))
    except Exception as error:  # a defect of ours: say so, with the traceback only on request
        if os.environ.get("LARVA_DEBUG"):
            raise
        click.secho(f"larva: {type(error).__name__}: {error}", err=True, fg="red")
        click.echo("  hint: this is a defect; run again with --debug to see where", err=True)
        sys.exit(int(ExitCode.INTERNAL))
    sys.exit(code if isinstance(code, int) else 0)
