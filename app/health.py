"""The worker's own HTTP: /metrics for Prometheus, /healthz and /readyz for whoever restarts and routes."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from telemetry import metrics
from telemetry.metrics import Registry

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Health(Protocol):
    """`agents.health.Health`."""

    @property
    def alive(self) -> bool:
        """False once only a restart helps."""
        ...

    def reasons(self) -> list[str]:
        """Why it is not ready."""
        ...


class HealthServer:
    """Answers GET /metrics, /healthz and /readyz between `start` and `stop`.

    /healthz is 200 while the event loop turns and nothing failed for good. /readyz is 200 while events are being worked
    on, else 503 with one reason per line.
    """

    def __init__(self, registry: Registry, health: Health, host: str, port: int) -> None:
        self._registry, self._health, self.host, self.port = registry, health, host, port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken; `port` then holds the one that was found for port 0."""
        application = web.Application()
        routes: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "/metrics": self._metrics,
            "/healthz": self._alive,
            "/readyz": self._ready,
        }
        for path, handler in routes.items():
            application.router.add_get(path, handler)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._registry.set(metrics.READY, 0 if self._health.reasons() else 1)
        return web.Response(body=self._registry.exposition(), headers={"Content-Type": EXPOSITION})

    async def _alive(self, _request: web.Request) -> web.Response:
        alive = self._health.alive
        return web.Response(text="ok\n" if alive else "failed\n", status=200 if alive else 503)

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = self._health.reasons()
        return web.Response(text="\n".join(reasons or ["ok"]) + "\n", status=503 if reasons else 200)
