"""A stock Faust agent that takes up to 1,000 events at once, with one MGET and one MSET of Redis for all of them.

Guarantee: none, strictly: `take` acknowledges what it gathered, and on the stock transport events have been lost after
kill -9. Warnings of a batch are awaited from the broker. The end is the last batch's write and warnings; Faust commits
offsets in the background.
"""

import asyncio
from typing import Any

import msgspec
import redis.asyncio

from benchmarks.standard.engines.faust_app import app_of, topics_of, work
from benchmarks.standard.job import LIMIT, advance, new_user, warning
from benchmarks.standard.task import Stopwatch, Task, this_task

BATCH, WITHIN_SECONDS = 1_000, 0.2


def main(task: Task) -> None:
    """Work through the whole topic."""
    app, stopwatch = app_of(task), Stopwatch(task.events)
    purchases, warnings = topics_of(app, task)
    store = redis.asyncio.Redis.from_url(task.redis_url)

    async def watch(stream: Any) -> None:
        async for events in stream.take(BATCH, within=WITHIN_SECONDS):
            stopwatch.begin()
            names = list({event.user_id: None for event in events})
            users: dict[str, dict[str, Any]] = {
                name: new_user() if value is None else msgspec.json.decode(value)
                for name, value in zip(names, await store.mget(names), strict=True)
            }
            sent = []
            for event in events:
                features = advance(users[event.user_id], event)
                if features[0] > LIMIT:
                    found = warning(event.event_id, event.user_id, features)
                    sent.append(await warnings.send(key=event.user_id.encode(), value=found))
            await store.mset({name: msgspec.json.encode(user) for name, user in users.items()})
            await asyncio.gather(*sent)
            stopwatch.finished(len(events))

    app.agent(purchases)(watch)
    work(app)


if __name__ == "__main__":
    main(this_task())
