"""What the agent asks a console, in a process that lives as long as the question: `python -m cladnet.agent.errand`.

Python's own TLS is one more copy of OpenSSL beside gRPC's and cryptography's: 6 MB that an agent would hold all day
for a question a minute and one a year.
"""

import sys
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from larva import exits, process
from larva.errors import LarvaError, MalformedData, Unavailable

WHOAMI, RENEW = "whoami", "renew"
_ANSWER_S = 30.0
"""A host under heavy load takes seconds to start a program; the question itself has its own, shorter bound."""
_RENEWAL_S = 120.0
"""Each console that is known may be asked."""
_MODULE = "cladnet.agent.errand"


def ask_public_address(server: str, ca: Path) -> IPv4Address:
    """whoami.ask_public_address() by such a process.

    Raises:
        Unavailable: no answer, or none that is an address.
    """
    try:
        answer = process.run(process.python_module(_MODULE, WHOAMI, server, str(ca)), timeout=_ANSWER_S)
        return IPv4Address(answer.strip())
    except AddressValueError as error:
        raise MalformedData(f"{server} was asked for this host's public address: {error}") from error
    except LarvaError as error:
        raise Unavailable(f"cannot ask {server} for this host's public address: {error.message}") from error


def renew() -> None:
    """console_renewal.renew() by such a process; ProgramFailed with its words, TimedOut."""
    process.run(process.python_module(_MODULE, RENEW), timeout=_RENEWAL_S)


def main() -> None:
    """Do the errand that the arguments name."""
    match sys.argv[1:]:
        case [word, server, ca] if word == WHOAMI:
            from cladnet.agent import whoami

            sys.stdout.write(f"{whoami.ask_public_address(server, Path(ca))}\n")
        case [word] if word == RENEW:
            from cladnet.agent import console_renewal

            console_renewal.renew()
        case words:
            raise MalformedData(f"there is no errand {' '.join(words)!r}")


if __name__ == "__main__":
    exits.ending(main)
