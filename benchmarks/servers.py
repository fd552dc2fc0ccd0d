"""The servers of the benchmarks: Apache Kafka and Redis where they are installed, else the embedded stand-ins."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from app.embedded import Embedded, embedded_services
from tests.servers.kafka import KafkaCluster, ToolMissing, jars
from tests.servers.redis import RedisNode

#: Where jars and what is compiled against them are kept between runs.
CACHE = Path.home() / ".cache" / "duewatch"
KAFKA_HEAP_MB = 1_024
#: As in docker-compose.yml. With Redis's own 64 MB a small book at a high rate has its append-only file rewritten every
#: second or two, by a process that takes a processor and makes Redis copy every page that it writes to.
REWRITE_BEYOND = "4gb"


@dataclass(frozen=True)
class Servers:
    """A broker and a store on this machine; `described` says what they are."""

    bootstrap: str
    redis_url: str
    pids: dict[str, int]
    described: str
    directory: Path  # free for the benchmark's own files; goes with the servers

    def empty_store(self) -> None:
        """Forget everything in Redis, also in its append-only file, so that every run begins alike."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
            if client.info("persistence")["aof_enabled"]:
                client.bgrewriteaof()
                while _is_rewriting(client):
                    time.sleep(0.02)


def _is_rewriting(client: Any) -> bool:
    facts = client.info("persistence")
    return bool(facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"])


@contextlib.contextmanager
def servers(*, durable: bool = True) -> Iterator[Servers]:
    """Start both and stop them afterwards.

    `durable`: Redis appends to a file that is flushed every second, as in production; else it writes nothing. The
    embedded store never writes anything.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="duewatch-benchmark-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        embedded: Embedded | None = None
        libraries = _libraries()
        if libraries is None or shutil.which("redis-server") is None:
            embedded = stack.enter_context(embedded_services())
        if libraries is None:
            assert embedded is not None
            bootstrap, broker_pid, broker = embedded.kafka_bootstrap, embedded.pids[0], "the embedded broker (Tansu)"
        else:
            cluster = KafkaCluster(directory / "kafka", libraries, heap_mb=KAFKA_HEAP_MB)
            stack.callback(cluster.stop)
            cluster.start()
            process = cluster.brokers[0].process
            assert process is not None
            bootstrap, broker_pid, broker = cluster.bootstrap, process.pid, f"Apache Kafka {_version(libraries)}"
        if shutil.which("redis-server") is None:
            assert embedded is not None
            url, store_pid, store = embedded.redis_url, embedded.pids[1], "the embedded store (Valkey), not durable"
        else:
            node = RedisNode(directory / "redis", rewrite_beyond=REWRITE_BEYOND)
            stack.callback(node.close)
            node.launch(append=durable)
            node.wait()
            with node.client() as client:
                facts = client.info("server")
                store_pid = facts["process_id"]
            url = f"redis://127.0.0.1:{node.port}/0"
            kept = "append-only file, flushed every second" if durable else "not durable"
            store = f"Redis {facts['redis_version']} ({kept})"
        work = directory / "work"
        work.mkdir()
        yield Servers(bootstrap, url, {"broker": broker_pid, "redis": store_pid}, f"{broker}, {store}", work)


def _libraries() -> Path | None:
    try:
        return jars(CACHE)
    except (ToolMissing, subprocess.CalledProcessError):
        return None


def _version(libraries: Path) -> str:
    for jar in libraries.glob("kafka-clients-*.jar"):
        return jar.stem.removeprefix("kafka-clients-")
    return "of unknown version"
