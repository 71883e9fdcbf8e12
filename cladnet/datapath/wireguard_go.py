"""WireGuard in user space: the program `wireguard-go`, one process an interface, configured over its socket.

The process belongs to nobody's lifetime but the interface's: it goes on while the agent restarts, and the next agent
adopts it.
"""

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cladnet.datapath import link, uapi
from cladnet.datapath.peers import Changes, differences, endpoints, told_anew
from cladnet.datapath.protocol import DEFAULT_MTU, Peer, PeerStatus, Tunnel
from cladnet.model import DatapathKind
from larva.errors import HostUnfit, TimedOut, Unavailable

log = logging.getLogger(__name__)

PROGRAM = "wireguard-go"
SOCKETS = Path("/var/run/wireguard")
"""Where the program puts its socket; it is built in."""
START_S = 10.0
ANSWER_S = 5.0
TUN = "tun"


class WireguardGo:
    """Datapath over `wireguard-go`."""

    kind = DatapathKind.WIREGUARD_GO

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._socket = SOCKETS / f"{interface}.sock"
        self._log = SOCKETS / f"{interface}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._told: dict[str, Peer] = {}

    def up(self, tunnel: Tunnel) -> None:
        """Start the program unless it runs, and configure what differs."""
        self._reap()
        if not self._alive():
            self._start()
        device = uapi.parse_device(self._ask("get=1\n\n"))
        private_key = tunnel.private_key if device.private_key != clamped(tunnel.private_key) else None
        listen_port = tunnel.listen_port if device.listen_port != tunnel.listen_port else None
        if private_key is not None or listen_port is not None:
            uapi.check(self._ask(uapi.set_device(private_key=private_key, listen_port=listen_port)))
        link.configure(self.interface, tunnel.addresses, tunnel.mtu or DEFAULT_MTU)

    def sync(self, peers: Sequence[Peer]) -> None:
        """Tell the program what differs, in one request."""
        actual = uapi.parse_device(self._ask("get=1\n\n")).peers
        self._carry_out(differences(peers, actual, endpoints(self._told), datetime.now(UTC)))
        self._told = {peer.public_key: peer for peer in peers}

    def change(self, changed: Sequence[Peer], removed: Sequence[str]) -> None:
        """Tell the program of these peers only, in one request."""
        self._carry_out(told_anew(changed, removed, self._told))
        for key in removed:
            self._told.pop(key, None)
        self._told.update((peer.public_key, peer) for peer in changed)

    def _carry_out(self, changes: Changes) -> None:
        if changes.removed or changes.changed:
            uapi.check(self._ask(uapi.set_peers(changes)))

    def stats(self) -> tuple[PeerStatus, ...]:
        """The peers as the program has them."""
        return uapi.parse_device(self._ask("get=1\n\n")).peers if self._alive() else ()

    def down(self) -> None:
        """Remove the interface; the program ends by itself when its interface is gone."""
        link.delete(self.interface)
        self._told = {}
        if self._process is not None:
            try:
                self._process.wait(timeout=ANSWER_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=ANSWER_S)
            self._process = None
        self._socket.unlink(missing_ok=True)

    def _alive(self) -> bool:
        if link.kind_of(self.interface) != TUN:
            return False
        try:
            self._ask("get=1\n\n")
        except Unavailable:
            return False
        return True

    def _start(self) -> None:
        if shutil.which(PROGRAM) is None:
            raise HostUnfit(f"{PROGRAM} is not installed", hint=f"install the package {PROGRAM}")
        self.down()  # what a crashed program or another data path left behind
        log.info("starting %s for %s", PROGRAM, self.interface)
        SOCKETS.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log.open("wb") as output:  # not the agent's own outputs, whose readers would wait for its end
            self._process = subprocess.Popen(
                [PROGRAM, "-f", self.interface],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # the terminal's and the agent's signals are not meant for it
                env={**os.environ, "LOG_LEVEL": "error", "WG_PROCESS_FOREGROUND": "1"},
            )
        deadline = time.monotonic() + START_S
        while not self._alive():
            if self._process.poll() is not None:
                raise Unavailable(
                    f"{PROGRAM} ended with code {self._process.returncode}: {self._last_words()}",
                    hint="it needs root and /dev/net/tun",
                )
            if time.monotonic() > deadline:
                self._process.kill()
                raise TimedOut(f"{PROGRAM} did not open {self._socket} within {START_S:g} s")
            time.sleep(0.02)

    def _reap(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            log.warning("%s for %s ended with code %s: %s", PROGRAM, self.interface, code, self._last_words())
            self._process = None

    def _last_words(self) -> str:
        try:
            return "; ".join(self._log.read_text(errors="replace").splitlines()[-3:])
        except OSError as error:
            return str(error)

    def _ask(self, request: str) -> str:
        """Send a request and return the answer, which ends with an empty line."""
        answer = bytearray()
        try:
            with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
                connection.settimeout(ANSWER_S)
                connection.connect(str(self._socket))
                connection.sendall(request.encode())
                while not answer.endswith(b"\n\n"):
                    chunk = connection.recv(1 << 16)
                    if not chunk:
                        raise Unavailable(f"{PROGRAM} closed the connection in the middle of an answer")
                    answer += chunk
        except OSError as error:
            raise Unavailable(f"{PROGRAM} for {self.interface} does not answer: {error}") from error
        return answer.decode()


def clamped(private_key: str) -> str:
    """The key as WireGuard keeps it: clamped for X25519 (RFC 7748, section 5)."""
    raw = bytearray.fromhex(uapi.to_hex(private_key))
    raw[0] &= 248
    raw[31] = raw[31] & 127 | 64
    return uapi.to_base64(raw.hex())
