"""A stock Faust agent: for each event one read and one write of Redis, as the first chapter of its documentation goes.

Guarantee: none, strictly: Faust acknowledges an event at the end of the loop's body, also where that raised, and has
been seen to lose events at rebalances. Each warning is awaited from the broker. The end is the last event's write and
warning; Faust commits offsets in the background.
"""

from typing import Any

import msgspec
import redis.asyncio

from benchmarks.standard.engines.faust_app import app_of, topics_of, work
from benchmarks.standard.job import LIMIT, advance, new_user, warning
from benchmarks.standard.task import Stopwatch, Task, this_task


def main(task: Task) -> None:
    """Work through the whole topic."""
    app, stopwatch = app_of(task), Stopwatch(task.events)
    purchases, warnings = topics_of(app, task)
    store = redis.asyncio.Redis.from_url(task.redis_url)

    async def watch(stream: Any) -> None:
        async for event in stream:
            stopwatch.begin()
            stored = await store.get(event.user_id)
            user = new_user() if stored is None else msgspec.json.decode(stored)
            features = advance(user, event)
            await store.set(event.user_id, msgspec.json.encode(user))
            if features[0] > LIMIT:
                found = warning(event.event_id, event.user_id, features)
                await (await warnings.send(key=event.user_id.encode(), value=found))
            stopwatch.finished(1)

    app.agent(purchases)(watch)
    work(app)


if __name__ == "__main__":
    main(this_task())
