"""Rounds: partitions of a worker that have a little to decide at the same time do so in one call.

Small batches cost what a call costs, and nearly nothing for their events. Partitions that were decided together commit
at the same time and are soon back with what has come meanwhile, so a round waits for those that are on their way. While
there is a backlog, batches are large and partitions take turns: one is decided while others are committed.

A round also says when events are wanted: once what it decided is on its way to the store. What is asked for then comes
while the store and the broker work for this round, and is there for the next. Sooner it would be less, and the same
work again for the rest; later the round would wait for it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agents.ports import Decide, InForce, Outcome
from decisions.work import Work

#: Events that are enough for one call: what it costs at any rate does not show any more. The rest of a round is decided
#: while these are on their way to the store.
ENOUGH = 1_000
#: Seconds that a round waits at most for partitions that are on their way. Hardly a round takes as long, so two
#: groups, each of which costs what one does, meet again.
PATIENCE = 0.05
#: Seconds after which events are wanted although what was decided is not on its way yet.
LONGEST = 0.03


class _Waiting(NamedTuple):
    number: int
    work: Work
    in_force: InForce
    outcome: "asyncio.Future[Outcome]"


class Rounds:
    """Used by all partitions of a worker; each names itself by its number."""

    def __init__(self, decide: Decide, wanted: Callable[[], None]) -> None:
        """Call `wanted` whenever events are wanted sooner than `until_wanted` said."""
        self._decide, self._say_wanted = decide, wanted
        self._resting: set[int] = set()
        self._coming: set[int] = set()
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: set[int] = set()  # who was decided in the newest round and has not sent off what came of it
        self._wanted_at: float | None = None  # when events are wanted at the latest, by the loop's time; None: now
        self._is_behind = False  # whether there is a backlog, as far as is known

    def until_wanted(self) -> float:
        """Seconds for which nobody has a use for more events, unless `wanted` is called before they are over."""
        return 0.0 if self._wanted_at is None else max(0.0, self._wanted_at - asyncio.get_running_loop().time())

    def brought(self, *, more: bool) -> None:
        """What was wanted is handed over; `more` says that the logs had more than that, which is wanted as well."""
        self._is_behind = more
        if not more:
            self._want_later()

    def sent(self, number: int) -> None:
        """What was decided for the partition is on its way to the store, or is given up."""
        if number in self._unsent:
            self._unsent.discard(number)
            if not self._unsent:
                self._want()

    def comes(self, number: int) -> None:
        """The partition has work in hand and will soon ask for a decision."""
        self._resting.discard(number)
        self._coming.add(number)

    def given(self, number: int) -> None:
        """Events came for the partition: if it rests, it comes; else it goes on with what it has in hand first."""
        if number in self._resting:
            self.comes(number)

    def rests(self, number: int) -> None:
        """It has none, or is gone."""
        self._resting.add(number)
        self._coming.discard(number)
        self.sent(number)
        if not (self._coming or self._waiting):
            self._want()
        self._look()

    async def decide(self, number: int, work: Work, in_force: InForce, *, alone: bool = False) -> Outcome:
        """Decide the work along with that of others; `alone`, with a backlog, at once. Raises what deciding raises."""
        self._coming.discard(number)
        if alone:
            self._look()
            self._is_behind = True
            self._want()
            (outcome,) = self._decide([work], in_force)
            return outcome
        loop = asyncio.get_running_loop()
        waiting = _Waiting(number, work, in_force, loop.create_future())
        self._waiting.append(waiting)
        if self._timer is None:
            self._timer = loop.call_later(PATIENCE, self._begin)
        self._look()
        return await waiting.outcome

    def _look(self) -> None:
        """Begin once nobody is to be waited for; whoever is woken in this turn of the loop has his say first."""
        if self._waiting and not self._coming:
            asyncio.get_running_loop().call_soon(self._begin_unless_somebody_comes)

    def _begin_unless_somebody_comes(self) -> None:
        if not self._coming:
            self._begin()

    def _begin(self) -> None:
        """A new round; who is late is not waited for again until he has been here."""
        if not all(one.outcome.done() for one in self._waiting):  # else all were cancelled, and nothing begins
            self._coming.clear()
            self._unsent.clear()
        self._go_on()

    def _go_on(self) -> None:
        """Decide what waits, or enough of it: that is sent off before the rest is decided."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = [one for one in self._waiting if not one.outcome.done()]  # without those who were cancelled
        self._waiting = []
        if not waiting:
            return
        together, events = list[_Waiting](), 0
        for one in waiting:
            if events < ENOUGH and one.in_force is waiting[0].in_force:
                together.append(one)
                events += len(one.work.events)
            else:
                self._waiting.append(one)
        numbers = {one.number for one in together}
        self._coming |= numbers
        self._unsent |= numbers
        if not self._is_behind:
            self._want_later()
        self._decide_together(together)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _want(self) -> None:
        if self._wanted_at is not None:
            self._wanted_at = None
            self._say_wanted()

    def _want_later(self) -> None:
        self._wanted_at = asyncio.get_running_loop().time() + LONGEST

    def _decide_together(self, waiting: Sequence[_Waiting]) -> None:
        try:
            outcomes = self._decide([one.work for one in waiting], waiting[0].in_force)
        except Exception as error:
            for one in waiting:
                one.outcome.set_exception(error)
        else:
            for one, outcome in zip(waiting, outcomes, strict=True):
                one.outcome.set_result(outcome)
