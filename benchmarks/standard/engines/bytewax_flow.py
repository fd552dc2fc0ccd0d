"""Bytewax: a dataflow from its Kafka source through a stateful step to its Kafka sink.

Guarantee: none that outlives the process: state is in memory and no recovery store is set up. The source stops at the
end of the topic; the end is when the flow has ended and its sink has flushed.
"""

from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import cluster_main

from benchmarks.standard.job import LIMIT, Purchase, advance, decode_purchase, new_user, warning
from benchmarks.standard.task import Stopwatch, Task, this_task

BATCH = 1_000


def flow_of(task: Task, stopwatch: Stopwatch) -> Dataflow:
    """The dataflow."""

    def decoded(message: Any) -> tuple[str, Purchase]:
        stopwatch.begin()
        event = decode_purchase(message.value)
        return event.user_id, event

    def decide(user: dict[str, Any] | None, event: Purchase) -> tuple[dict[str, Any], bytes | None]:
        user = new_user() if user is None else user
        features = advance(user, event)
        return user, warning(event.event_id, event.user_id, features) if features[0] > LIMIT else None

    def message_of(found: tuple[str, bytes | None]) -> Any:
        user, body = found
        return None if body is None else KafkaSinkMessage(user.encode(), body)

    flow = Dataflow("standard_job")
    source = KafkaSource([task.bootstrap], [task.topic], tail=False, batch_size=BATCH)
    purchases = op.map("decode", op.input("purchases", flow, source), decoded)
    found = op.stateful_map("decide", purchases, decide)
    op.output("warnings", op.filter_map("encode", found, message_of), KafkaSink([task.bootstrap], task.warnings))
    return flow


def main(task: Task) -> None:
    """Run the flow to its end."""
    stopwatch = Stopwatch(task.events)
    cluster_main(flow_of(task, stopwatch), [], 0)
    stopwatch.finished(task.events)


if __name__ == "__main__":
    main(this_task())
