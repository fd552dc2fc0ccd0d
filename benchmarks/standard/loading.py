"""Topics of the standard job: made, filled by a fast producer, emptied and read."""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.standard.job import Purchase, Warned

#: As a producer that has a lot to send makes them.
BATCH_BYTES, LINGER_MS = 64 * 1024, 20
WAIT_SECONDS = 30.0
#: Said although it is of no use here: Quix Streams asks for it, and the embedded broker tells only what was said.
KEEP = {"retention.ms": "-1"}


def fill(bootstrap: str, topic: str, events: Iterable[Purchase]) -> list[Purchase]:
    """Publish `events` keyed by user, each user's in their order, and return them once the broker has all."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "partitioner": "murmur2_random",  # that of Java's producer
            "max.in.flight": 1,  # no batch may overtake one that is tried again
            "linger.ms": LINGER_MS,
            "batch.size": BATCH_BYTES,
            "queue.buffering.max.messages": 200_000,
        }
    )
    encode = msgspec.json.Encoder().encode
    sent: list[Purchase] = []
    for event in events:
        sent.append(event)
        while True:
            try:
                producer.produce(topic, encode(event), event.user_id)
                break
            except BufferError:
                producer.poll(0.05)
        if len(sent) == 1:
            producer.flush(WAIT_SECONDS)  # what librdkafka takes before it knows the topic it may send out of order
    left = producer.flush(120)
    if left:
        raise RuntimeError(f"the broker did not take {left} of {len(sent)} events")
    return sent


class Topics:
    """Makes and deletes topics at one broker."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap, self._partitions = bootstrap, partitions
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def make(self, names: Sequence[str]) -> None:
        """Make topics that do not exist."""
        wanted = [NewTopic(name, self._partitions, 1, config=KEEP) for name in names]
        for made in self._admin.create_topics(wanted).values():
            made.result()
        self._await(lambda present: present.issuperset(names))

    def remake(self, name: str) -> None:
        """Have a topic empty."""
        self.delete(name)
        self.make([name])

    def delete(self, prefix: str) -> None:
        """Delete every topic whose name begins like this."""
        doomed = [name for name in self._names() if name.startswith(prefix)]
        if doomed:
            for deleted in self._admin.delete_topics(doomed).values():
                with contextlib.suppress(KafkaException):  # it is going already
                    deleted.result()
            self._await(lambda present: not present.intersection(doomed))

    def warnings(self, topic: str) -> list[Warned]:
        """Every committed warning of a topic."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": topic,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        decode = msgspec.json.Decoder(Warned).decode
        found: list[Warned] = []
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in range(self._partitions)])
            open_partitions = self._partitions
            while open_partitions:
                for message in consumer.consume(10_000, 1.0):
                    error = message.error()
                    if error is None:
                        found.append(decode(message.value()))
                    elif error.name() == "_PARTITION_EOF":
                        open_partitions -= 1
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()
        return found

    def _names(self) -> set[str]:
        return set(self._admin.list_topics(timeout=WAIT_SECONDS).topics)

    def _await(self, holds: Callable[[set[str]], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds(self._names()):
            if time.monotonic() > deadline:
                raise RuntimeError("the broker does not get its topics right")
            time.sleep(0.05)
