"""The running group: worker processes and the trainer, started again when they end, and what they counted and said."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from app.embedded import child_process
from app.exposition import Sample, fetch_samples, total
from app.settings import Settings, environment_of
from tests.faults.worker import CRASHED
from tests.servers.ports import lasting_port

SUPERVISE_SECONDS, SCRAPE_SECONDS, ANSWER_SECONDS = 0.25, 2.0, 1.0
STOP_SECONDS = 40.0
ROOT = Path(__file__).parents[2]
_JOINED = re.compile(r"Joined group .* \(generation (\d+)\)")


@dataclass(eq=False)
class Worker:
    """One process, from its start to its end."""

    number: int
    process: subprocess.Popen[bytes]
    log: Path
    port: int
    proxied: bool
    crash_at: str = ""
    leaving: bool = False  # the harness ends it
    samples: list[Sample] = field(default_factory=list)  # the newest that it told

    @property
    def lives(self) -> bool:
        return self.process.poll() is None


class Group:
    """`wanted` workers and a trainer. One worker reaches the brokers through the proxies, where there are some."""

    def __init__(self, settings: Settings, directory: Path, wanted: int, proxied_bootstrap: str = "") -> None:
        self.settings, self.directory, self.wanted = settings, directory, wanted
        self.workers: list[Worker] = []
        self.ended: list[Worker] = []
        self.exits: list[str] = []  # of workers that nobody had told to end
        self.restarts = 0
        self.crashes: Counter[str] = Counter()
        self.spared: list[str] = []  # points to which a worker did not come before the end
        self._proxied_bootstrap = proxied_bootstrap
        self._started = 0
        self._trainer: subprocess.Popen[bytes] | None = None

    # --- processes

    def start_worker(self, crash_at: str = "", crash_after: int = 0) -> Worker:
        """One more; with `crash_at` it dies there by itself and is not replaced."""
        self._started += 1
        proxied = bool(self._proxied_bootstrap) and not crash_at and not any(worker.proxied for worker in self.workers)
        changes: dict[str, Any] = {"http_port": lasting_port()}
        if proxied:
            changes["kafka_bootstrap"] = self._proxied_bootstrap
        environment = environment_of(self.settings.model_copy(update=changes))
        if crash_at:
            environment |= {"CRASH_AT": crash_at, "CRASH_AFTER": str(crash_after)}
        log = self.directory / f"worker-{self._started:03d}.log"
        process = child_process([sys.executable, "-m", "tests.faults.worker"], log, at_home(environment))
        worker = Worker(self._started, process, log, changes["http_port"], proxied, crash_at)
        self.workers.append(worker)
        return worker

    def start_trainer(self) -> None:
        environment = environment_of(self.settings.model_copy(update={"http_port": 0}))
        command = [sys.executable, "-m", "app", "trainer", "--every", "20"]
        self._trainer = child_process(command, self.directory / "trainer.log", at_home(environment))

    def kill_trainer(self) -> None:
        """The next look at the processes starts it again."""
        if self._trainer is not None:
            self._trainer.kill()
            self._trainer.wait()

    def oldest(self) -> Worker:
        """The one that has worked longest, of those that are not about to end; there is always one."""
        return next(worker for worker in self.workers if not worker.crash_at and worker.lives)

    async def end_doomed(self) -> None:
        """Kill those that wait for the point at which they die by themselves."""
        for worker in [worker for worker in self.workers if worker.crash_at]:
            self.signal(worker, signal.SIGKILL)
            await self.gone(worker)
        self.look_after()

    def signal(self, worker: Worker, number: signal.Signals) -> None:
        """SIGTERM or SIGKILL end it, other signals do not."""
        if number in (signal.SIGTERM, signal.SIGKILL):
            worker.leaving = True
        worker.process.send_signal(number)

    async def explain(self, worker: Worker) -> None:
        """Have a worker that does not end write into its log what its threads do."""
        worker.process.send_signal(signal.SIGUSR1)
        await asyncio.sleep(0.5)

    async def gone(self, worker: Worker, seconds: float = STOP_SECONDS) -> bool:
        """Wait for its end; False where it does not end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while worker.lives:  # noqa: ASYNC110 - processes tell nothing
                    await asyncio.sleep(0.05)
        return not worker.lives

    # --- supervision

    async def supervise(self) -> None:
        """For ever: start what lacks, note what ended, and keep what they counted."""
        last_scrape, loop = 0.0, asyncio.get_running_loop()
        while True:
            self.look_after()
            if loop.time() - last_scrape > SCRAPE_SECONDS:
                last_scrape = loop.time()
                await asyncio.gather(*(_scrape(worker) for worker in self.workers))
            await asyncio.sleep(SUPERVISE_SECONDS)

    def look_after(self) -> None:
        """One look at the processes."""
        for worker in [worker for worker in self.workers if not worker.lives]:
            self.workers.remove(worker)
            self.ended.append(worker)
            self._note(worker)
        for _ in range(self.wanted - sum(not worker.crash_at for worker in self.workers)):
            self.start_worker()
            self.restarts += 1
        if self._trainer is not None and self._trainer.poll() is not None:
            self.start_trainer()

    def _note(self, worker: Worker) -> None:
        code = worker.process.returncode
        if worker.crash_at and code == CRASHED:
            self.crashes[worker.crash_at] += 1
        elif worker.crash_at and worker.leaving:
            self.spared.append(worker.crash_at)
        elif not worker.leaving:
            self.exits.append(f"worker {worker.number} ended with {code}: {_last_words(worker.log)}")
        elif code not in (0, -signal.SIGKILL):
            self.exits.append(f"worker {worker.number}, told to stop, ended with {code}: {_last_words(worker.log)}")

    async def ready(self, seconds: float) -> None:
        """Return when all workers are; TimeoutError with the reason where they are not."""
        reasons = "no worker is there"
        try:
            async with asyncio.timeout(seconds), aiohttp.ClientSession() as session:
                while reasons:
                    lacking = self.wanted - len(self.workers)
                    told = [await _unready(session, worker) for worker in self.workers]
                    reasons = "; ".join([f"{lacking} workers are lacking"] * (lacking > 0) + list(filter(None, told)))
                    await asyncio.sleep(SUPERVISE_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"not ready within {seconds:.0f} s: {reasons}; logs: {self.directory}") from None

    async def stop(self) -> None:
        """End the workers in order, then the trainer; afterwards nothing is started again."""
        self.wanted = 0
        await asyncio.gather(*(_scrape(worker) for worker in self.workers))
        for worker in self.workers:
            self.signal(worker, signal.SIGTERM)
        for worker in self.workers:
            if not await self.gone(worker):
                self.exits.append(f"worker {worker.number} did not end within {STOP_SECONDS:.0f} s of SIGTERM")
                await self.explain(worker)
        self.close()
        self.look_after()

    def close(self) -> None:
        """End everything at once."""
        self.wanted = 0
        trainer, self._trainer = self._trainer, None
        for process in [trainer, *(worker.process for worker in self.workers)]:
            if process is not None:
                process.kill()
                process.wait()

    # --- what they counted and said

    def counted(self, metric: str, **labels: str) -> int:
        """A counter over all processes; the last two seconds before a kill may lack."""
        return int(sum(total(worker.samples, metric, **labels) for worker in [*self.workers, *self.ended]))

    def rebalances(self) -> int:
        """The group's generation: every rebalance begins a new one."""
        found = [0]
        for line in self._lines():
            joined = _JOINED.search(line)
            if joined:
                found.append(int(joined[1]))
        return max(found)

    def said(self, *words: str) -> int:
        """Lines of the workers' logs that hold all these words."""
        return sum(all(word in line for word in words) for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for log in sorted(self.directory.glob("worker-*.log")):
            with log.open(errors="replace") as file:
                yield from file


def at_home(environment: dict[str, str]) -> dict[str, str]:
    """So that a child finds this repository wherever it is started."""
    return environment | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}


async def _scrape(worker: Worker) -> None:
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            worker.samples = await fetch_samples(f"http://127.0.0.1:{worker.port}/metrics")


async def _unready(session: aiohttp.ClientSession, worker: Worker) -> str:
    try:
        async with session.get(f"http://127.0.0.1:{worker.port}/readyz") as response:
            return "" if response.status == 200 else (await response.text()).strip()
    except aiohttp.ClientError as error:
        return f"worker {worker.number} does not answer: {error}"


def _last_words(log: Path) -> str:
    """Why a worker ended, as it said: that it stops, else the newest critical line, else the newest line at all."""
    lines = log.read_text(errors="replace").splitlines()
    stops = [line for line in lines if '"event": "the worker stops: ' in line]
    critical = [line for line in lines if '"level": "critical"' in line]
    newest = (stops or critical or lines or ["it said nothing"])[-1]
    with contextlib.suppress(ValueError, TypeError, KeyError):
        newest = json.loads(newest)["event"]
    return newest[:300]
