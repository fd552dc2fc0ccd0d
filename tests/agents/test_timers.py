import random

from agents.timers import Timers
from store.contract import Commit, Header, PartitionStore
from store.memory import MemoryStore


class Asked:
    """A view that counts how often it is asked for what is due."""

    def __init__(self, view: PartitionStore) -> None:
        self._view, self.times = view, 0

    async def due(self, until: int, limit: int) -> list[str]:
        self.times += 1
        return await self._view.due(until, limit)

    async def first_timer(self) -> int:
        return await self._view.first_timer()


async def test_what_is_due_is_what_the_store_says_however_timers_are_set() -> None:
    rng, view = random.Random(4), MemoryStore().partition(0)
    await view.open()
    asked = Asked(view)
    timers, now = Timers(asked), 0  # type: ignore[arg-type]
    for number in range(400):
        now += rng.randrange(4)
        due = await timers.due(now, 5)
        assert due == await view.due(now, 5)
        changed = dict.fromkeys(due, 0) | {f"u{rng.randrange(30)}": rng.choice([0, now + rng.randrange(1, 60)])}
        await view.commit(Commit(Header(commits=number), {}, timers=changed))
        timers.set(changed.values())
    assert asked.times < 300


async def test_before_the_earliest_timer_the_store_is_not_asked() -> None:
    view = MemoryStore().partition(0)
    await view.open()
    await view.commit(Commit(Header(), {}, timers={"u": 100}))
    asked = Asked(view)
    timers = Timers(asked)  # type: ignore[arg-type]
    assert [await timers.due(now, 1) for now in (10, 50, 99, 100)] == [[], [], [], ["u"]]
    assert asked.times == 2
    timers.set([0, 140])
    timers.forget()
    assert await timers.due(20, 1) == []
    assert asked.times == 3
