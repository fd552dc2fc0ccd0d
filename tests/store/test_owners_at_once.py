"""Whatever several owners of several partitions do at once, each is refused exactly where somebody else came first."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.contract import Commit, Header, StaleOwner, TopicPosition
from store.redis import RedisAddress, RedisPartition, RedisStore
from store.together import MOST_RECORDS

_prefixes = itertools.count()
_numbers = itertools.count(1)

PARTITIONS, OWNERS = 3, 2


class Act(Enum):
    """What an owner does in a turn."""

    COMMIT = auto()
    COMMIT_MUCH = auto()
    COMMIT_AND_BE_CANCELLED = auto()
    OPEN = auto()
    CLOSE = auto()


#: By owner, and how many turns of the loop after the start of the acts the cancellations come.
turns = st.lists(
    st.tuples(
        st.dictionaries(
            st.tuples(st.integers(0, PARTITIONS - 1), st.integers(0, OWNERS - 1)), st.sampled_from(Act), max_size=6
        ),
        st.integers(0, 8),
    ),
    max_size=10,
)


@dataclass
class Owner:
    """A view, and the number of the commit that it last saw in its partition; None while it is not open."""

    partition: int
    view: RedisPartition
    seen: int | None = None


def commit(number: int, *, large: bool) -> Commit:
    made = Commit(Header(commits=number), {"purchases": TopicPosition(number)}, {"u": b"%d" % number})
    return replace(made, records={**made.records, **{f"{i}": b"" for i in range(MOST_RECORDS)}}) if large else made


async def _act(owner: Owner, act: Act, number: int, cancel_after: int) -> BaseException | None:
    if act is Act.CLOSE:
        await owner.view.close()
    elif act is not Act.OPEN:
        made = commit(number, large=act is Act.COMMIT_MUCH)
        task = asyncio.create_task(owner.view.commit(made))
        if act is Act.COMMIT_AND_BE_CANCELLED:
            for _ in range(cancel_after):
                await asyncio.sleep(0)
            task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        return result
    return None


async def _turn(owners: Sequence[Owner], acts: Sequence[Act], cancel_after: int, stored: list[int]) -> None:
    """All act at once; then what each met and what is stored is held against what each had seen."""
    numbers = [next(_numbers) for _ in owners]
    results = await asyncio.gather(
        *(_act(owner, act, number, cancel_after) for owner, act, number in zip(owners, acts, numbers, strict=True))
    )
    met = list(zip(owners, acts, numbers, results, strict=True))
    for partition in {owner.partition for owner in owners}:
        here = [one for one in met if one[0].partition == partition and one[1] not in (Act.OPEN, Act.CLOSE)]
        done = [number for _, _, number, result in here if result is None]
        cancelled = [number for _, _, number, result in here if isinstance(result, asyncio.CancelledError)]
        entitled = {number for owner, _, number, _ in here if owner.seen == stored[partition]}
        assert {type(result) for *_, result in here} <= {type(None), asyncio.CancelledError, StaleOwner}, here
        assert len(done) <= 1
        assert entitled.issuperset(done)
        assert done or cancelled or not entitled  # somebody comes first
        if not here:
            continue
        # A commit whose caller was cancelled may have happened, in the place of any other.
        view = here[0][0].view
        at = (await view.open()).header.commits
        assert at in (done or [stored[partition], *entitled.intersection(cancelled)])
        assert await view.load(["u"]) == [b"%d" % at if at else None]
        stored[partition] = here[0][0].seen = at
        for owner, _, number, result in here:
            owner.seen = number if result is None else owner.seen  # who was cancelled does not know
    for owner, act in zip(owners, acts, strict=True):
        if act is Act.CLOSE:
            owner.seen = None
        if act is Act.OPEN:
            assert (await owner.view.open()).header.commits == stored[owner.partition]
            owner.seen = stored[owner.partition]


@pytest.mark.embedded
@settings(max_examples=60, deadline=None, derandomize=True)
@given(turns=turns)
async def test_an_owner_is_refused_exactly_where_somebody_else_committed_since(
    valkey_port: int, turns: list[tuple[dict[tuple[int, int], Act], int]]
) -> None:
    store = RedisStore(RedisAddress(port=valkey_port, prefix=f"at-once-{next(_prefixes)}"))
    owners = {
        (partition, number): Owner(partition, store.partition(partition))
        for partition in range(PARTITIONS)
        for number in range(OWNERS)
    }
    stored = [0] * PARTITIONS
    try:
        for owner in owners.values():
            await owner.view.open()
            owner.seen = 0
        for acts, cancel_after in turns:
            await _turn([owners[key] for key in acts], list(acts.values()), cancel_after, stored)
    finally:
        await store.close()
