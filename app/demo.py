"""The demo: the whole service on this machine, from an empty broker to a summary, on the sample that ships."""

import asyncio
import contextlib
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp

from app.demo_report import Found, evaluate, read_outputs, summary
from app.demo_screen import Screen
from app.embedded import (
    Embedded,
    child_process,
    embedded_services,
    free_port,
    stop_process,
    termination_as_interrupt,
)
from app.exposition import Sample, fetch_samples, total
from app.kafka import create_topics, read_topics
from app.sending import Sent, send_files
from app.settings import Settings, environment_of, load_settings
from samples.taiwan import events, outcomes
from samples.writing import write_events

PARTITIONS = 4
READY_SECONDS = 300.0  # the first start ever compiles the kernels, which takes most of it
SETTLE_SECONDS = 120.0
POLL_SECONDS = 0.25
STOP_SECONDS = 15.0
LOG_LINES = 30
#: Every so many events one is sent twice, and every so many one follows that breaks the contract.
REPEAT_EVERY, BREAK_EVERY = 500, 2_000


class DemoFailed(Exception):
    """The demo could not come to its end; the message says why."""


@dataclass(frozen=True, slots=True)
class Service:
    """What runs during the demo."""

    settings: Settings
    embedded: Embedded
    worker: "subprocess.Popen[bytes]"
    trainer: "subprocess.Popen[bytes]"

    @property
    def metrics_url(self) -> str:
        """The worker's metrics."""
        return f"http://{self.settings.http_host}:{self.settings.http_port}"

    def check(self) -> None:
        """Raise DemoFailed when a process has ended."""
        for name, process in (("worker", self.worker), ("trainer", self.trainer)):
            if process.poll() is not None:
                log = (self.embedded.directory / f"{name}.log").read_text(errors="replace").splitlines()
                text = "\n".join(log[-LOG_LINES:])
                raise DemoFailed(f"the {name} ended with exit code {process.returncode}; its log ends with:\n{text}")


def run_demo(screen: Screen, sample: Path | None, *, keep: bool) -> None:
    """Everything, and clean up after it. `sample` is a file of the Taiwan data; None for the 1,000 clients that ship.

    Raises:
        DemoFailed, EmbeddedFailed, KafkaUnavailable, SettingsInvalid: with the reason.
    """
    shipped = files("samples").joinpath("data", "taiwan-1000.csv.gz")
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        source = sample or stack.enter_context(as_file(shipped))
        stack.enter_context(termination_as_interrupt())
        screen.step("starting the embedded broker (Tansu) and store (Valkey)")
        embedded = stack.enter_context(embedded_services())
        settings = demo_settings(embedded)
        created = asyncio.run(create_topics(settings))
        screen.step(f"created {len(created.made)} topics with {settings.partitions} partitions each")
        service = stack.enter_context(running(settings, embedded))
        found = asyncio.run(_watch(screen, service, source))
        for line in summary(found, time.monotonic() - began):
            screen.line(line)
        if not found.accounted:
            raise DemoFailed("not every event is accounted for: this is a defect of Duewatch")
        if keep:
            _keep(screen, service)


def demo_settings(embedded: Embedded) -> Settings:
    """Settings of a deployment on the embedded services; the environment may add to them.

    Raises:
        SettingsInvalid: where the environment does not fit.
    """
    return load_settings(
        kafka_bootstrap=embedded.kafka_bootstrap,
        redis_url=embedded.redis_url,
        http_port=free_port(),
        partitions=PARTITIONS,
        time_mode="event",
        session_timeout=6.0,
        hmac_key=secrets.token_hex(16),
        log_level="warning",
    )


@contextlib.contextmanager
def running(settings: Settings, embedded: Embedded) -> Iterator[Service]:
    """A worker and the trainer as processes of their own, stopped at the end."""
    environment = environment_of(settings)
    program = [sys.executable, str(Path(__file__).parent)]
    with contextlib.ExitStack() as stack:
        processes = {}
        for name, arguments in {"worker": ["worker"], "trainer": ["trainer", "--http-port", "0"]}.items():
            processes[name] = child_process([*program, *arguments], embedded.directory / f"{name}.log", environment)
            stack.callback(stop_process, processes[name], STOP_SECONDS)
        yield Service(settings, embedded, processes["worker"], processes["trainer"])


async def _watch(screen: Screen, service: Service, source: Path) -> Found:
    screen.step("starting a worker and the trainer (the first start ever also compiles the kernels)")
    sample = service.embedded.directory / "sample.jsonl"
    count = await asyncio.to_thread(write_sample, source, sample)
    await until_ready(service)
    screen.step(f"publishing {count:,} events of the sample, half a year in about a minute")
    began = time.monotonic()
    with screen.progress(count):
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(_background(_show_decisions(screen, service.settings)))
            sending = await stack.enter_async_context(
                _background(send_files(service.settings, [sample], report=screen.sent))
            )
            samples = await until_applied(screen, service, sending)
    seconds = time.monotonic() - began
    sent: Sent = sending.result()
    outputs = await read_outputs(service.settings)
    ranking = await evaluate(service.settings, outcomes(source))
    return Found(sent, samples, outputs, ranking, seconds)


async def until_ready(service: Service) -> None:
    """Wait until the worker works.

    Raises:
        DemoFailed: when it ends or does not come up within five minutes.
    """
    deadline = time.monotonic() + READY_SECONDS
    reasons = "it does not answer"
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            service.check()
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"{service.metrics_url}/readyz") as response:
                    reasons = (await response.text()).strip()
                    if response.status == 200:
                        return
            await asyncio.sleep(POLL_SECONDS)
    raise DemoFailed(f"the worker is not ready after {READY_SECONDS:.0f} s: {reasons}")


async def until_applied(screen: Screen, service: Service, sending: "asyncio.Task[Sent]") -> list[Sample]:
    """Wait until as many events are accounted for as were published; what the worker counted is returned.

    Raises:
        DemoFailed: when a process ends, or nothing more comes for two minutes though everything was sent.
    """
    done, deadline = 0, 0.0
    while True:
        service.check()
        samples = await fetch_samples(f"{service.metrics_url}/metrics")
        before = done
        done = int(total(samples, "duewatch_events_total") + total(samples, "duewatch_dead_letters_total"))
        screen.done(done)
        if done > before or not sending.done():
            deadline = time.monotonic() + SETTLE_SECONDS
        if sending.done():
            if done >= sending.result().published:
                return samples
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"{done:,} of {sending.result().published:,} events are accounted for, and no more come"
                )
        await asyncio.sleep(POLL_SECONDS)


async def _show_decisions(screen: Screen, settings: Settings) -> None:
    topics = ["warnings", "limit-adjustments", "dead-letters"]
    async with contextlib.aclosing(read_topics(settings, topics, from_start=True, follow=True)) as records:
        async for record in records:
            screen.decision(record.topic, record.value, record.headers)


@contextlib.asynccontextmanager
async def _background(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def write_sample(source: Path, target: Path) -> int:
    """The sample's events, with a few repeats and a few that break the contract among them; returns their number."""
    return write_events(_blemished(event for _, event in events(source)), target)


def _blemished(clean: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    ways: Iterator[dict[str, Any]] = cycle(
        [{"amount": -5}, {"currency": "XXX"}, {"amount": "a lot"}, {"colour": "blue"}]
    )
    due = BREAK_EVERY
    for number, event in enumerate(clean, 1):
        yield event
        if number % REPEAT_EVERY == 0:
            yield event
        if number >= due and event["type"] == "purchase":
            due += BREAK_EVERY
            yield event | {"event_id": f"{event['event_id']}-broken"} | next(ways)


def _keep(screen: Screen, service: Service) -> None:
    settings = service.settings
    screen.line("")
    screen.line("Everything keeps running. In another terminal:")
    where = f"--kafka {settings.kafka_bootstrap}"
    for command in (
        f"duewatch tail warnings --from-start {where}",
        f"duewatch inspect taiwan-24 {where} --redis {settings.redis_url} --partitions {settings.partitions}",
        f"duewatch dead-letters list {where}",
        f"duewatch topics check {where} --partitions {settings.partitions}",
        f"curl {service.metrics_url}/metrics",
    ):
        screen.line(f"  {command}")
    screen.line("Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            service.check()
            time.sleep(POLL_SECONDS)
