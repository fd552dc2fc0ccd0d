"""Ports for servers that are stopped and started again on the same one."""

import random
import socket

#: Below what Linux gives to outgoing connections, which would take the port while its server is away; a node of a
#: Redis Cluster also listens on its port + 10000.
FIRST, END = 10_000, 22_000
_given: set[int] = set()


def lasting_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, given to nobody else by this process."""
    while True:
        port = random.SystemRandom().randrange(FIRST, END)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
