"""Apache Kafka from its jars (KRaft, no Docker) for the tests and benchmarks that a stand-in broker cannot serve."""

import base64
import contextlib
import hashlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from app.embedded import child_process, stop_process
from tests.servers.ports import lasting_port

POM = Path(__file__).with_name("pom.xml")
START_SECONDS = 60.0
#: What a broker with a full disk can still write into a file: enough to tell of it in its own log.
TOLD_BYTES = 16_384


class ToolMissing(Exception):
    """Java or Maven is not installed, so Apache Kafka cannot run here."""


def jars(cache: Path, pom: Path = POM) -> Path:
    """The directory below `cache` of the jars that `pom` names, fetched by Maven where they are not there yet.

    Raises:
        ToolMissing: there is no `java` or no `mvn` on the PATH.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise ToolMissing(f"{tool} is not on the PATH; Debian: apt-get install openjdk-17-jre-headless maven")
    directory = cache / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if not directory.is_dir():
        fetched = directory.with_name(f"{directory.name}.{os.getpid()}")
        command = ["mvn", "--quiet", "--batch-mode", "--file", str(pom), "dependency:copy-dependencies"]
        subprocess.run([*command, f"-DoutputDirectory={fetched}"], check=True, stdin=subprocess.DEVNULL)
        try:
            fetched.rename(directory)
        except OSError:  # another process was faster
            shutil.rmtree(fetched)
    return directory


@dataclass
class Broker:
    """One broker of a cluster; its data survive `stop` and `kill`."""

    number: int
    port: int
    controller_port: int
    directory: Path
    #: A second listener, which tells its clients to come to `advertised_port`, where a proxy passes them on to it.
    behind_proxy_port: int
    advertised_port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process is there, paused or not."""
        return self.process is not None and self.process.poll() is None

    def answers(self) -> bool:
        """Whether the listener for clients accepts connections: it opens once the broker is unfenced."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class KafkaCluster:
    """One broker, or several that replicate everything to each other, on loopback ports."""

    def __init__(self, directory: Path, libraries: Path, brokers: int = 1, heap_mb: int = 512) -> None:
        self.libraries = libraries
        self.heap_mb = heap_mb
        self.brokers = [
            Broker(i + 1, lasting_port(), lasting_port(), directory / f"broker-{i + 1}", lasting_port(), lasting_port())
            for i in range(brokers)
        ]

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers, comma-separated."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def proxied_bootstrap(self) -> str:
        """The addresses at which a proxy is to stand before each broker's second listener."""
        return ",".join(f"127.0.0.1:{broker.advertised_port}" for broker in self.brokers)

    def start(self) -> None:
        """Format the storage, start all brokers, and return when each accepts clients."""
        # Zeros in front: an id that begins with a dash would be taken for an option.
        cluster = base64.urlsafe_b64encode(bytes(2) + uuid.uuid4().bytes[2:]).decode().rstrip("=")
        for broker in self.brokers:
            broker.directory.mkdir(parents=True)
            self._configure(broker)
        formatting = [self._format(broker, cluster) for broker in self.brokers]
        for process in formatting:
            if process.wait():
                raise RuntimeError(f"the storage of a broker could not be formatted: {process.args!r}")
        for broker in self.brokers:
            self._launch(broker)
        for number in range(len(self.brokers)):
            self.await_broker(number)

    def start_broker(self, number: int) -> None:
        """Start a stopped broker again, on its old data and ports, and return when it accepts clients."""
        self.launch_broker(number)
        self.await_broker(number)

    def launch_broker(self, number: int) -> None:
        """Start a stopped broker again and return at once.

        A child dies with the thread that started it: whoever waits in another thread launches in the main one.
        """
        self._launch(self.brokers[number])

    def pause_broker(self, number: int) -> None:
        """Freeze a broker: connections stay open and nothing answers."""
        self._signal(number, signal.SIGSTOP)

    def resume_broker(self, number: int) -> None:
        """Let a frozen broker go on."""
        self._signal(number, signal.SIGCONT)

    def fill_disk_of(self, number: int) -> None:
        """Let no file of a broker grow beyond a few KiB from now on, until it is started anew: writes fail like on a
        full disk.

        The broker finds its only log directory useless and halts by itself.
        """
        broker = self.brokers[number]
        if broker.process is not None:
            limit = (broker.directory / "broker.log").stat().st_size + TOLD_BYTES
            resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def _signal(self, number: int, what: signal.Signals) -> None:
        process = self.brokers[number].process
        if process is not None:
            process.send_signal(what)

    def stop_broker(self, number: int, *, kill: bool = False) -> None:
        """Shut one broker down in order, or kill it with -9."""
        process = self.brokers[number].process
        if process is None:
            return
        if kill:
            process.send_signal(signal.SIGKILL)
            process.wait()
        else:
            stop_process(process, 30)
        self.brokers[number].process = None

    def stop(self) -> None:
        """End all brokers at once; a cluster that loses its quorum cannot shut down in order."""
        for number in range(len(self.brokers)):
            self.stop_broker(number, kill=True)

    def _launch(self, broker: Broker) -> None:
        command = ["java", f"-Xmx{self.heap_mb}m", "-cp", f"{self.libraries}/*", "kafka.Kafka"]
        broker.process = child_process(
            [*command, str(broker.directory / "server.properties")], broker.directory / "broker.log"
        )

    def await_broker(self, number: int) -> None:
        """Return when a launched broker accepts clients; RuntimeError with what it printed where it does not."""
        broker = self.brokers[number]
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if broker.answers():
                return
            if broker.process is None or broker.process.poll() is not None:
                break
            time.sleep(0.05)
        printed = (broker.directory / "broker.log").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"broker {broker.number} did not start; it printed:\n{printed}")

    def _format(self, broker: Broker, cluster: str) -> subprocess.Popen[bytes]:
        properties = str(broker.directory / "server.properties")
        tool = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{self.libraries}/*", "kafka.tools.StorageTool", "format"]
        return child_process([*tool, "--cluster-id", cluster, "--config", properties], broker.directory / "format.log")

    def _configure(self, broker: Broker) -> None:
        copies = len(self.brokers)
        in_sync = min(2, copies)
        voters = ",".join(f"{other.number}@127.0.0.1:{other.controller_port}" for other in self.brokers)
        settings = {
            "process.roles": "broker,controller",
            "node.id": broker.number,
            "controller.quorum.voters": voters,
            "listeners": (
                f"PLAINTEXT://{broker.address},PROXIED://127.0.0.1:{broker.behind_proxy_port},"
                f"CONTROLLER://127.0.0.1:{broker.controller_port}"
            ),
            "advertised.listeners": f"PLAINTEXT://{broker.address},PROXIED://127.0.0.1:{broker.advertised_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": broker.directory / "logs",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "broker.session.timeout.ms": 6000,
            # Half of a heap of 256 MB otherwise, in one piece, which a broker does not always find.
            "log.cleaner.dedupe.buffer.size": 16 << 20,
            "num.network.threads": 2,
            "num.io.threads": 2,
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (broker.directory / "server.properties").write_text("".join(lines))
