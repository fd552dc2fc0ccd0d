"""Runs a worker or the trainer until a signal ends it."""

import asyncio
import dataclasses
import gc
import signal
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

import faust
import structlog
from aiokafka.errors import KafkaError
from mode import Service

from agents.health import Health
from agents.monitor import build_app
from agents.ports import Broadcasts, InForce
from agents.publishing import KafkaPublisher
from app.build import signing_key, worker_deps, worker_settings
from app.health import HealthServer
from app.kernels import WORKING
from app.settings import Settings, reveal, unknown_variables
from features.kernel import begin_compiling, compile_kernels
from telemetry.logging import configure
from telemetry.meters import PrometheusMeters
from telemetry.metrics import Registry

log = structlog.get_logger(__name__)


class TrainerStopped(Exception):
    """The trainer cannot go on; the message says why."""


def run_worker(settings: Settings, **replaced: Any) -> NoReturn:
    """Work until SIGINT or SIGTERM, finish the batch in hand, and leave the group; then exit with code 0.

    Exits with another code when something happened that only a restart cures. `replaced` as in `worker_deps`.
    """
    _prepare(settings)
    compiling = begin_compiling(*WORKING)
    registry = Registry()
    deps = worker_deps(settings, registry, **replaced)
    deps = dataclasses.replace(deps, broadcasts=_AfterKernels(deps.broadcasts, compiling))
    server = HealthServer(registry, deps.health, settings.http_host, settings.http_port)
    with tempfile.TemporaryDirectory(prefix="duewatch-worker-") as scratch:
        found = worker_settings(
            settings.model_copy(update={"data_directory": settings.data_directory or Path(scratch)})
        )
        application = build_app(found, deps)
        # What the imports left is never garbage: not looking at it again saves a quarter of a worker's time.
        gc.collect()
        gc.freeze()
        worker = faust.Worker(
            application,
            _Http(server),
            loglevel=settings.log_level.upper(),
            redirect_stdouts=False,
            override_logging=False,
            quiet=True,
        )
        worker.execute_from_commandline()
    raise SystemExit(0)


def run_trainer(settings: Settings, every: int) -> None:
    """Train until SIGINT or SIGTERM.

    Raises:
        TrainerStopped: without a key to sign snapshots with, or when Kafka is away for good.
    """
    _prepare(settings)
    key = signing_key(settings)
    if key is None:
        raise TrainerStopped("the trainer signs its snapshots: set DUEWATCH_HMAC_KEY or DUEWATCH_HMAC_KEY_FILE")
    try:
        asyncio.run(_train(settings, key, every))
    except KafkaError as error:
        raise TrainerStopped(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error


async def _train(settings: Settings, key: bytes, every: int) -> None:
    from agents.trainer import Trainer  # brings River along, which a worker does without

    registry = Registry()
    health = Health(assigned=True, broadcasts_read=True)
    options = settings.kafka_client_options()
    publisher = KafkaPublisher(options, PrometheusMeters(registry), health)
    server = HealthServer(registry, health, settings.http_host, settings.http_port)
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task and task.cancel())
    try:
        await server.start()
        await publisher.start()
        await Trainer(options, publisher, key, every).run()
    except asyncio.CancelledError:
        log.info("trainer stopped")
    finally:
        await server.stop()
        await publisher.stop()


def _prepare(settings: Settings) -> None:
    key = reveal(settings.pseudonym_key)
    configure(style=settings.log_format, level=settings.log_level, key=None if key is None else key.encode())
    for variable, near in unknown_variables().items():
        log.warning("a variable means nothing", variable=variable, meant=near)


class _AfterKernels:
    """Broadcasts that count as read once the kernels are there: a partition waits for both, the group for neither."""

    def __init__(self, broadcasts: Broadcasts, compiling: Sequence[Future[bytes]]) -> None:
        self._broadcasts, self._compiling = broadcasts, compiling

    async def start(self) -> None:
        await self._broadcasts.start()

    async def stop(self) -> None:
        await self._broadcasts.stop()

    async def read(self) -> None:
        await asyncio.gather(*map(asyncio.wrap_future, self._compiling))
        compile_kernels(*WORKING)
        await self._broadcasts.read()

    def in_force(self) -> InForce:
        return self._broadcasts.in_force()

    async def recall(self, policy: str, market: str, model: str) -> InForce | None:
        return await self._broadcasts.recall(policy, market, model)


class _Http(Service):
    """The health server as one of the worker's services."""

    def __init__(self, server: HealthServer, **options: Any) -> None:
        super().__init__(**options)
        self._server = server

    async def on_start(self) -> None:
        """Listen."""
        await self._server.start()
        log.info("listening", host=self._server.host, port=self._server.port)

    async def on_stop(self) -> None:
        """Stop listening."""
        await self._server.stop()
