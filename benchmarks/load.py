"""Publishes events of a synthetic book at a fixed rate, whatever becomes of them: open-loop load.

    python -m benchmarks.load BOOTSTRAP USERS RATE SECONDS START SEED

Event i belongs to the moment START + i / RATE (s since 1970) and carries it as its time and at the beginning of its id.
A generator that waited for answers would send less while the system stalls, and so hide the stall. Prints how late it
was itself, as JSON.
"""

import json
import sys
import time

from confluent_kafka import Producer

from benchmarks.book import DAY_MS, life

TICK_SECONDS = 0.001


def main() -> None:
    bootstrap, users, rate, seconds, start, seed = sys.argv[1:]
    count, begin = int(float(rate) * float(seconds)), float(start)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "1",
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )
    days = float(seconds) * 1000 / DAY_MS
    events = list(life(int(users), count, int(seed), days, int(begin * 1000)))
    if time.time() > begin:
        raise SystemExit(f"making {count} events took longer than there was time; begin later")
    sent, latest = 0, 0.0
    while sent < count:
        now = time.time()
        due = max(sent, min(int((now - begin) * float(rate)), count))
        if due > sent:
            latest = max(latest, now - begin - sent / float(rate))
        for event in events[sent:due]:
            producer.produce(event.topic, event.value, event.key)
        sent = due
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    producer.flush(60)
    print(json.dumps({"sent": sent, "most_late_seconds": latest}))


if __name__ == "__main__":
    main()
