"""The composition root of a worker: settings become its parts, and tests put others in their place."""

from typing import Any

from agents.broadcasts import Book, KafkaBroadcasts
from agents.health import Health
from agents.journal import KafkaJournal
from agents.meters import Meters
from agents.monitor import WorkerSettings
from agents.ports import Deps
from agents.publishing import KafkaPublisher
from agents.refusals import DeadLetterLimit
from app.core import decoder, first_in_force
from app.settings import Settings, reveal
from decisions.decide import decide_each
from messages.encoding import dead_letter
from store.redis import RedisStore
from store.residents import Residents
from telemetry.meters import PrometheusMeters
from telemetry.metrics import Registry


def worker_deps(settings: Settings, registry: Registry, **replaced: Any) -> Deps:
    """A worker's parts; `replaced` gives other ones in place of some, by their names in `agents.ports.Deps`.

    Raises:
        PolicyError: where the policy cannot be used, or is in another currency than the book.
        ValueError: where a currency is not one of the contracts.
    """
    options = settings.kafka_client_options()
    meters: Meters = replaced.get("meters") or PrometheusMeters(registry)
    health: Health = replaced.get("health") or Health()
    book = Book(first_in_force(settings), signing_key(settings), meters)
    parts: dict[str, Any] = {
        "store": RedisStore(settings.redis_address()),
        "residents": Residents,
        "decoder": decoder(settings),
        "decide": decide_each,
        "broadcasts": KafkaBroadcasts(options, book, meters, health),
        "publisher": KafkaPublisher(options, meters, health),
        "journal": KafkaJournal(options, meters),
        "dead_letter": dead_letter,
        "refusals": DeadLetterLimit(settings.dead_letter_share, settings.dead_letter_window),
        "meters": meters,
        "health": health,
        "time_mode": settings.time_mode,
        "batch_size": settings.batch_size,
        "resident_records": settings.residents,
    }
    return Deps(**(parts | replaced))


def worker_settings(settings: Settings) -> WorkerSettings:
    """What the Faust app needs to know of the settings."""
    return WorkerSettings(
        group=settings.group,
        kafka_options=settings.kafka_client_options(),
        session_timeout=settings.session_timeout,
        data_directory=settings.data_directory,
    )


def signing_key(settings: Settings) -> bytes | None:
    """The key of model snapshots."""
    key = reveal(settings.hmac_key)
    return None if key is None else key.encode()
