"""How a status test is spread over time, so that n hosts that begin together send no n² burst: a pure function of n.

A test of n hosts is n·(n-1)·(trials+1) echoes (one more than the trials sets each tunnel up) and n rows of n cells.
Each host begins after a pause that it draws evenly from 0 … spread_s(n, trials), where

    spread_s = max( n·(n-1)·(trials+1) / ECHOES_S ,  n·n·CELL_BYTES / ROW_BYTES_S )

so that the whole CLADNet sends ECHOES_S echoes a second and writes ROW_BYTES_S bytes a second into etcd on average, how
large it may be: 10 hosts begin within 20 ms, 100 within 2 s, 1,000 within 200 s. Each host by itself keeps to
HOST_ECHOES_S, and to a number of peers in flight (`cladnet.agent.probe.AT_ONCE`).
"""

ECHOES_S = 20_000
"""Of the whole CLADNet: with 1,000 hosts each sends and answers 20 a second, 3 kB/s with the tunnel's headers."""
ROW_BYTES_S = 1_000_000
"""Of the whole CLADNet, into etcd; its members write ten times that to an ordinary cloud disk."""
CELL_BYTES = 200
"""One cell of a row as JSON, at most; a row of 1,000 is a fifth of what etcd takes in one value (1.5 MiB) at most."""
HOST_ECHOES_S = 200
"""Of one host."""
MOST_TRIALS = 100
AT_ONCE = 32
"""Peers of one host that are measured at the same time."""
ANSWER_S = 2.0
"""An echo that takes longer is lost."""
FAR_S = 0.3
"""What the other side of the world takes."""
LOST_GAP_S = 0.05
"""Between two echoes to a peer that does not answer."""
_PATIENCE_S = 15.0
"""For the way through etcd, there and back."""


def spread_s(hosts: int, trials: int) -> float:
    """Return the seconds within which the hosts begin."""
    echoes = hosts * max(0, hosts - 1) * (trials + 1)
    return max(echoes / ECHOES_S, hosts * hosts * CELL_BYTES / ROW_BYTES_S)


def longest_s(hosts: int, trials: int) -> float:
    """Return the seconds after which the row of every host that is there should be there, whoever is silent."""
    sending = hosts * (trials + 1) / HOST_ECHOES_S
    waiting = -(-hosts // AT_ONCE) * ((trials + 1) * FAR_S + 2 * ANSWER_S + trials * LOST_GAP_S)
    return spread_s(hosts, trials) + sending + waiting + _PATIENCE_S
