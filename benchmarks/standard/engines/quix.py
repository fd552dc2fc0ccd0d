"""Quix Streams: a StreamingDataFrame with a stateful function over RocksDB and a changelog topic.

Guarantee: at-least-once, its default: a checkpoint flushes warnings and changelog, then commits offsets. Users are
dicts, as its state takes them. The end is when `Application.run` comes back, stopped at the last record: its last
checkpoint is complete then.
"""

from typing import Any

from quixstreams import Application, State

from benchmarks.standard.job import LIMIT, Purchase, advance, new_user, score
from benchmarks.standard.task import Stopwatch, Task, this_task


def main(task: Task) -> None:
    """Work through the whole topic."""
    stopwatch, left = Stopwatch(task.events), task.events

    def processed(_topic: str, _partition: int, _offset: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            app.stop()

    app = Application(
        broker_address=task.bootstrap,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        auto_create_topics=True,
        state_dir=task.directory,
        loglevel="WARNING",
        on_message_processed=processed,
    )
    purchases = app.topic(task.topic, key_deserializer="str", value_deserializer="json")
    warnings = app.topic(task.warnings, key_serializer="str", value_serializer="json")

    def decide(value: dict[str, Any], state: State) -> dict[str, Any] | None:
        stopwatch.begin()
        user = state.get("user")
        if user is None:
            user = new_user()
        event = Purchase(**value)
        features = advance(user, event)
        state.set("user", user)
        if features[0] <= LIMIT:
            return None
        return {
            "event_id": event.event_id, "user_id": event.user_id, "score": score(features), "features": features,
        }  # fmt: skip

    found = app.dataframe(purchases).apply(decide, stateful=True)
    found.filter(lambda warned: warned is not None).to_topic(warnings)
    app.run()
    stopwatch.finished(task.events)


if __name__ == "__main__":
    main(this_task())
