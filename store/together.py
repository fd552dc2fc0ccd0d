"""One transaction for the commits of several partitions that ask at the same time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from store.contract import StaleOwner, StoreUnavailable
from store.link import Link
from store.transactions import Part, Transactions, Undone

#: Records of one transaction at most: others would wait long for more, and a request of half a megabyte costs more than
#: four of an eighth.
MOST_RECORDS = 300


@dataclass(slots=True, eq=False)
class _Waiting:
    """`knows`: the connection that its last commit here went over, None for none; `done` gives that of this one."""

    part: Part
    records: int
    knows: int | None
    done: "asyncio.Future[int]"


class Together:
    """Commits over one connection what partitions ask for in the same turn of the event loop, or during a commit."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transactions = Transactions(link)
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._under_way: Sequence[bytes] = ()
        self._settled: asyncio.Future[None] | None = None  # once what is under way is not

    def moved(self, position: bytes) -> None:
        """Somebody commits on a connection of their own, or gives the partition up."""
        self._transactions.moved(position)

    async def commit(self, part: Part, records: int, knows: int | None) -> int:
        """Commit `part`, which has so many records; returns the number of the connection.

        `knows` is what this returned last, None where StoreUnavailable was raised since: who does not know yet that the
        connection was lost, and that the server may have forgotten things, is told by StoreUnavailable. Raises Undone
        where nothing was applied and the part is to be committed alone, and what a commit raises.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(part, records, knows, loop.create_future())
        self._waiting.append(waiting)
        if self._task is None:
            # A task begins after whoever is woken in this turn of the loop.
            self._task = loop.create_task(self._commit_all())
        return await waiting.done

    async def settled(self, position: bytes) -> None:
        """Return once no commit of this partition is on its way, also one that nobody waits for any more."""
        while self._settled is not None and position in self._under_way:
            await asyncio.wait([self._settled])

    def give_up(self) -> None:
        """Let everybody who waits go without a commit."""
        _fail(self._waiting)
        self._waiting = []

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                await self._commit_group(self._next_group())
        finally:
            self._task = None
            self.give_up()

    def _next_group(self) -> list[_Waiting]:
        group: dict[bytes, _Waiting] = {}
        records = 0
        for one in self._waiting:
            if one.done.done():
                continue  # cancelled
            if one.part.withdrawn:
                one.done.set_exception(StaleOwner("this view was closed"))
            elif one.part.position in group or records + one.records > MOST_RECORDS:
                # Of two owners of a partition one only may succeed, which a single transaction would not see to.
                one.done.set_exception(Undone())
            else:
                group[one.part.position] = one
                records += one.records
        self._waiting = []
        return list(group.values())

    async def _commit_group(self, group: Sequence[_Waiting]) -> None:
        connection = self._link.next_connection
        told = [one for one in group if one.knows not in (None, connection)]
        for one in told:
            one.done.set_exception(StoreUnavailable(f"Redis at {self._link.server}: the connection was lost"))
        going = [one for one in group if one not in told]
        if not going:
            return
        self._under_way = [one.part.position for one in going]
        self._settled = asyncio.get_running_loop().create_future()
        try:
            await self._link.renew()
            outcomes = await self._transactions.commit([one.part for one in going])
        except StoreUnavailable as error:
            for one in going:
                _settle(one, connection, StoreUnavailable(*error.args))
        else:
            for one, outcome in zip(going, outcomes, strict=True):
                _settle(one, connection, outcome)
        finally:
            _fail(going)
            self._settled.set_result(None)
            self._settled, self._under_way = None, ()


def _settle(waiting: _Waiting, connection: int, outcome: Exception | None) -> None:
    if waiting.done.done():
        return  # cancelled
    if outcome is None:
        waiting.done.set_result(connection)
    else:
        waiting.done.set_exception(outcome)


def _fail(waiting: Sequence[_Waiting]) -> None:
    """Leave nobody waiting when the loop ends."""
    for one in waiting:
        _settle(one, 0, StoreUnavailable("the commit was given up"))
