import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded import Embedded, embedded_services, termination_as_interrupt

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.embedded

CHILD = """
import sys
from app.embedded import embedded_services, termination_as_interrupt
with termination_as_interrupt(), embedded_services() as services:
    print(*services.pids, flush=True)
    sys.stdin.read()
"""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _port(address: str) -> int:
    return int(address.rpartition(":")[2].partition("/")[0])


def test_broker_and_store_answer_on_loopback_and_are_gone_afterwards() -> None:
    with embedded_services() as services:
        for address in (services.kafka_bootstrap, services.redis_url):
            assert "127.0.0.1" in address
            socket.create_connection(("127.0.0.1", _port(address)), timeout=2).close()
        assert all(_alive(pid) for pid in services.pids)
    assert not any(_alive(pid) for pid in services.pids)
    assert not services.directory.exists()


def test_an_exception_stops_them() -> None:
    seen: list[Embedded] = []
    with pytest.raises(RuntimeError), embedded_services() as services:  # noqa: PT012 - the block is what is tested
        seen.append(services)
        raise RuntimeError
    assert not any(_alive(pid) for pid in seen[0].pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_their_parent_stops_them(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        handles = [os.pidfd_open(pid) for pid in pids]
        parent.send_signal(number)
        parent.wait(20)
    import select

    for handle in handles:
        assert select.select([handle], [], [], 10)[0], "a server outlived its parent"
        os.close(handle)


def test_termination_is_an_interrupt_only_within_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), termination_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
