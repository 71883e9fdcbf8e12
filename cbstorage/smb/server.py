"""The Samba server of a gateway: run by systemd, told by its own control program."""

from pathlib import Path
from typing import Protocol

from cbstorage.host import systemd
from larva import process

UNIT = "larva-smb.service"
TOLD_S = 20


class Server(Protocol):
    """What a gateway needs of the program that speaks SMB."""

    def start(self) -> bool:
        """Have it run; whether it had to be started."""

    def reread(self) -> None:
        """Have it read its configuration."""

    def cut(self, share: str) -> None:
        """End every session on a share: who is still let in comes back by itself."""

    def stop(self) -> None:
        """Have it end."""


class SystemdServer:
    """As a unit of the appliance."""

    def __init__(self, configuration: Path) -> None:
        self._configuration = configuration

    def start(self) -> bool:
        """Have it run; whether it had to be started."""
        return systemd.start(UNIT)

    def reread(self) -> None:
        """Have it read its configuration."""
        control(self._configuration, "reload-config")

    def cut(self, share: str) -> None:
        """End every session on a share: who is still let in comes back by itself."""
        control(self._configuration, "close-share", share)

    def stop(self) -> None:
        """Have it end."""
        systemd.stop(UNIT)


def control(configuration: Path, *words: str) -> None:
    """Send a message to every process of the server; ProgramFailed if it is not there to hear it."""
    process.run(["smbcontrol", "--configfile", configuration, "smbd", *words], timeout=TOLD_S)
