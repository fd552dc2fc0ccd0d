"""Rounds: partitions of a worker that have a little to decide at the same time do so in one call.

Small batches cost what a call costs, and nearly nothing for their events. Partitions that were decided together commit
at the same time and are soon back with what has come meanwhile, so a round waits a moment for those that are on their
way. While there is a backlog, batches are large and partitions take turns: one is decided while others are committed.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from agents.ports import Decide, InForce, Outcome
from decisions.work import Work

#: Events that are enough for one call: what it costs at any rate does not show any more.
ENOUGH = 1_000
#: Seconds that a round waits at most for partitions that are on their way.
PATIENCE = 0.005
#: Seconds that a round counts for at most, where the time that rounds take is learned.
LONGEST = 0.03
#: How much the newest round weighs in the usual length of one.
_NEWEST = 0.2


class _Waiting(NamedTuple):
    number: int
    work: Work
    in_force: InForce
    outcome: "asyncio.Future[Outcome]"


class Rounds:
    """Used by all partitions of a worker; each names itself by its number."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._resting: set[int] = set()
        self._coming: set[int] = set()
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._begun: float | None = None  # when the newest round was decided, unless it is over
        self._usual = 0.0  # seconds until those who were in a round are done with it

    def until_next(self) -> float:
        """Seconds for which, going by earlier rounds, nobody has a use for more events; 0 while all rest."""
        if not (self._coming or self._waiting):
            return 0.0
        if self._begun is None:
            return self._usual
        return max(0.0, self._begun + self._usual - asyncio.get_running_loop().time())

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
        if not (self._coming or self._waiting):
            self._end()
        self._look()

    async def decide(self, number: int, work: Work, in_force: InForce, *, alone: bool = False) -> Outcome:
        """Decide the work; unless `alone`, along with that of others. Raises what deciding raises."""
        self._coming.discard(number)
        if alone or len(work.events) >= ENOUGH:
            self._look()
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
        """Decide what waits, or enough of it; who is late is not waited for again until he has been here."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = [one for one in self._waiting if not one.outcome.done()]  # without those who were cancelled
        if not waiting:
            self._waiting = []
            return
        together, others, events = list[_Waiting](), list[_Waiting](), 0
        for one in waiting:
            if events < ENOUGH and one.in_force is waiting[0].in_force:
                together.append(one)
                events += len(one.work.events)
            else:
                others.append(one)
        self._begin_round()
        self._waiting, self._coming = others, {one.number for one in together}
        self._decide_together(together)
        if others:
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin_round(self) -> None:
        self._end()
        self._begun = asyncio.get_running_loop().time()

    def _end(self) -> None:
        """The newest round is over: learn how long it took."""
        if self._begun is not None:
            took = asyncio.get_running_loop().time() - self._begun
            self._usual += _NEWEST * (min(took, LONGEST) - self._usual)
            self._begun = None

    def _decide_together(self, waiting: Sequence[_Waiting]) -> None:
        try:
            outcomes = self._decide([one.work for one in waiting], waiting[0].in_force)
        except Exception as error:
            for one in waiting:
                one.outcome.set_exception(error)
        else:
            for one, outcome in zip(waiting, outcomes, strict=True):
                one.outcome.set_result(outcome)
