"""The agent as a service: `python -m cladnet.agent TERMS`, as launch.py writes it."""

import sys

from larva import exits


def main() -> None:
    """Run it until a signal comes."""
    from cladnet.agent import lean

    lean.without_openssl()
    from cladnet.agent import launch, service
    from larva import codec

    service.run(codec.decode(sys.argv[1].encode(), launch.Terms, source="the agent's terms"))


if __name__ == "__main__":
    exits.ending(main)
