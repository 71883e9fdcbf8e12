"""`larva agent` as the service is, but for a data path that carries nothing.

Its memory and processor time, read from /proc, are what an agent costs its host.
"""

import sys

from larva import exits


def main() -> None:
    """Run the agent of the state directory's host, as `python -m cladnet.agent` does."""
    from cladnet.agent import lean

    lean.without_openssl()
    from cladnet.agent import datapath_keeper, launch, service
    from cladnet.bench.nowhere import Nowhere
    from larva import codec

    vars(datapath_keeper).update(
        take=lambda _kind, interface, _encrypted: Nowhere(interface),
        clear=lambda _interface, **_: None,  # no interface of this machine is its own
    )
    service.run(codec.decode(sys.argv[1].encode(), launch.Terms, source="the agent's terms"))


if __name__ == "__main__":
    exits.ending(main)
