"""What both ways to write the standard job in stock Faust share: the app, its records, and the users in Redis."""

from typing import Any

import faust

from benchmarks.standard.task import Task


class Purchase(faust.Record, serializer="json"):
    """An event, as Faust's documentation models one."""

    event_id: str
    user_id: str
    amount: float
    merchant: str
    ts: int


def app_of(task: Task) -> Any:
    """An app with Faust's own transport and settings; only what would leave files about is switched off."""
    return faust.App(
        task.group,
        broker=f"kafka://{task.bootstrap}",
        store="memory://",
        datadir=task.directory,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )


def topics_of(app: Any, task: Task) -> tuple[Any, Any]:
    """The topic of purchases, and the one of warnings, which takes bytes."""
    purchases = app.topic(task.topic, key_type=str, value_type=Purchase)
    return purchases, app.topic(task.warnings, key_type=bytes, value_type=bytes, value_serializer="raw")


def work(app: Any) -> None:
    """Run the app until a signal ends it."""
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True).execute_from_commandline()
