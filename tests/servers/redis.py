"""Debian's redis-server for the fault tests, with all that can go wrong with one; alone, or three as a cluster."""

import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis

from app.embedded import child_process, stop_process
from tests.servers.ports import lasting_port
from tests.store.redis_servers import admin, form_cluster

STARTS_WITHIN = 60.0  # s; an append-only file of gigabytes takes a while to load
SAMPLE_SECONDS = 0.1
SLOTS = 16_384


class Snapshot(NamedTuple):
    """A copy of an RDB file, and when what it holds was current."""

    taken: float  # time.monotonic()
    file: Path


class _Size(NamedTuple):
    at: float
    file: Path
    size: int


class RedisNode:
    """One server with an append-only file that is flushed every second, in its own directory and on its own port.

    The file is not rewritten before it has `rewrite_beyond` bytes (Redis's own words: 64mb, 1gb).
    """

    def __init__(self, directory: Path, *, cluster: bool = False, rewrite_beyond: str = "64mb") -> None:
        self.directory, self.port = directory, lasting_port()
        self.snapshots: list[Snapshot] = []
        self._cluster, self._rewrite_beyond = cluster, rewrite_beyond
        self._process: subprocess.Popen[bytes] | None = None
        self._sizes: deque[_Size] = deque(maxlen=600)
        self._ended = threading.Event()

    # --- life

    def launch(self, *, append: bool = True) -> None:
        """Start the process and return at once; by the main thread, as the child dies with the one that started it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        options += ["--appendonly", "yes" if append else "no", "--appendfsync", "everysec"]
        options += ["--auto-aof-rewrite-min-size", self._rewrite_beyond]
        options += ["--rdbcompression", "no"]
        options += ["--aof-load-truncated", "yes", "--maxmemory-policy", "noeviction"]
        options += ["--cluster-enabled", "yes"] if self._cluster else []
        self._process = child_process(["redis-server", *options], self.directory / "redis.log")

    def wait(self) -> None:
        """Return when it answers and has loaded its data."""
        deadline = time.monotonic() + STARTS_WITHIN
        with self.client() as client:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    break
                try:
                    if client.ping():
                        return
                except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError):
                    time.sleep(0.02)
        log = (self.directory / "redis.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"redis-server on port {self.port} did not start; it printed:\n{log}")

    def start(self) -> None:
        """Start, wait, and begin to note how the append-only file grows."""
        self.launch()
        self.wait()
        threading.Thread(target=self._watch_file, daemon=True, name=f"sizes of {self.port}").start()

    def client(self, **options: Any) -> Any:
        """A blocking client of an operator."""
        return admin(self.port, **options)

    def shut_down(self) -> None:
        """End it in order: everything is on disk."""
        if self._process is not None:
            stop_process(self._process, 30)

    def kill(self) -> None:
        """End it with kill -9. The operating system still has what was written and not flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End it for good."""
        self._ended.set()
        self.kill()

    # --- losing

    def lose_last_second(self) -> int:
        """Kill it and cut off what the append-only file got in the last second; returns the bytes that are lost."""
        self.kill()
        now = time.monotonic()
        newest = self._newest_file()
        if newest is None:
            return 0
        size = newest.stat().st_size
        noted = [one for one in self._sizes.copy() if one.file == newest]  # the watching thread goes on noting
        known = [one.size for one in noted]
        older = [one.size for one in noted if one.at <= now - 1.0]
        kept = older[-1] if older else min(known, default=size)
        with newest.open("r+b") as file:
            file.truncate(kept)
        return size - kept

    def snapshot(self) -> Snapshot:
        """Write an RDB file and keep a copy of it."""
        file = self.directory / "dump.rdb"
        file.unlink(missing_ok=True)
        taken = time.monotonic()
        with self.client() as client:
            client.bgsave(schedule=True)
            while not file.exists():  # it is written under another name
                client.ping()
                time.sleep(0.05)
        kept = Snapshot(taken, self.directory / f"snapshot-{taken:.1f}.rdb")
        shutil.copyfile(file, kept.file)
        self.snapshots.append(kept)
        return kept

    def forget_snapshots(self, seconds: float) -> None:
        """Delete copies that are older than `seconds`, except the newest of those."""
        self._delete([one for one in self.snapshots if one.taken < time.monotonic() - seconds][:-1])

    def go_back(self, seconds: float) -> float | None:
        """Kill it and put the newest snapshot that is at least `seconds` old in place; returns its age.

        None, and nothing is done, where there is no such snapshot. `launch(append=False)`, `wait` and `append` follow:
        a server that is started with an append-only file does not look at an RDB file.
        """
        now = time.monotonic()
        old = [one for one in self.snapshots if one.taken <= now - seconds]
        if not old:
            return None
        self.kill()
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        shutil.copyfile(old[-1].file, self.directory / "dump.rdb")
        # What is newer tells of a past that has not happened.
        self._delete([one for one in self.snapshots if one.taken > old[-1].taken])
        return now - old[-1].taken

    def _delete(self, snapshots: Sequence[Snapshot]) -> None:
        for one in snapshots:
            one.file.unlink()
            self.snapshots.remove(one)

    def append(self) -> None:
        """Begin a new append-only file, after `go_back`."""
        with self.client() as client:
            client.config_set("appendonly", "yes")

    # --- refusing, waiting

    def fill(self) -> None:
        """From now on there is no memory left."""
        with self.client() as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"])

    def empty(self) -> None:
        """There is memory again."""
        with self.client() as client:
            client.config_set("maxmemory", 0)

    def freeze(self) -> None:
        """Connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(what)

    def _newest_file(self) -> Path | None:
        """The incremental append-only file that is being written: the one with the greatest number."""
        files = (self.directory / "appendonlydir").glob("*.incr.aof")
        return max(files, key=lambda file: int(file.name.split(".")[-3]), default=None)

    def _watch_file(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            newest = self._newest_file()
            if newest is not None and newest.exists():
                self._sizes.append(_Size(time.monotonic(), newest, newest.stat().st_size))


class RedisServers:
    """One server, or three masters of a Redis Cluster."""

    def __init__(self, directory: Path, *, cluster: bool = False) -> None:
        self.cluster = cluster
        self.nodes = [RedisNode(directory / f"redis-{i + 1}", cluster=cluster) for i in range(3 if cluster else 1)]

    @property
    def url(self) -> str:
        """Where clients begin."""
        return f"redis://127.0.0.1:{self.nodes[0].port}/0"

    def start(self) -> None:
        """Start all, and return when every slot is served."""
        for node in self.nodes:
            node.start()
        if self.cluster:
            form_cluster([node.port for node in self.nodes])

    def close(self) -> None:
        """End all."""
        for node in self.nodes:
            node.close()
