"""The composition root of a worker: settings become its parts, and tests put others in their place."""

from collections.abc import Callable
from typing import Any

from app.core import decoder
from app.settings import Settings
from decisions.decide import decide
from decisions.outcome import Limit
from messages.encoding import dead_letter
from store.contract import LimitView, PartitionStore, Store
from store.redis import RedisStore
from store.residents import Residents
from telemetry.meters import PrometheusMeters
from telemetry.metrics import Registry


def store(settings: Settings) -> RedisStore:
    """The store of this deployment; it connects when it is first used."""
    return RedisStore(settings.redis_address())


def limit_view(limit: Limit) -> LimitView:
    """A decided limit as the checkout systems read it."""
    return LimitView(
        user=limit.user,
        limit=limit.limit,
        frozen=limit.frozen,
        grade=limit.grade,
        default_probability=limit.default_probability,
        version=limit.version,
    )


def residents(settings: Settings) -> Callable[[PartitionStore], Residents]:
    """Makes each partition's memory of records."""
    return lambda view: Residents(view, settings.residents)


def worker_deps(settings: Settings, registry: Registry, *, replaced: dict[str, Any] | None = None) -> Any:
    """A worker's parts; `replaced` gives other ones in place of some, by their names in `agents.ports.Deps`."""
    from agents.broadcasts import KafkaBroadcasts
    from agents.health import Health
    from agents.ports import Deps
    from agents.publishing import KafkaPublisher

    replaced = replaced or {}
    meters = replaced.get("meters") or PrometheusMeters(registry)
    options = settings.kafka_client_options()
    kept: Store = replaced.get("store") or store(settings)
    parts: dict[str, Any] = {
        "store": kept,
        "residents": residents(settings),
        "decoder": decoder(settings),
        "decide": decide,
        "broadcasts": KafkaBroadcasts,
        "publisher": KafkaPublisher(options, meters),
        "dead_letter": dead_letter,
        "limit_view": limit_view,
        "meters": meters,
        "health": Health(),
        "time_mode": settings.time_mode,
        "batch_size": settings.batch_size,
    }
    return Deps(**(parts | replaced))
