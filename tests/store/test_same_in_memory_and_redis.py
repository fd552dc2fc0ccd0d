"""Whatever two owners do, memory and Redis end up with the same."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.message import Message
from store.contract import Commit, Header, StaleOwner, Store, TopicPosition
from store.memory import MemoryStore
from store.redis import RedisAddress, RedisStore

_prefixes = itertools.count()

users = st.sampled_from(["a", "b", "{c}", "d:*", "e"])
topics = st.sampled_from(["purchases", "bills", "profiles"])
text = st.text(max_size=8)
big = st.integers(0, 2**40)
headers = st.builds(Header, big, big, text, text, text, big)
positions = st.dictionaries(topics, st.builds(TopicPosition, big, st.sampled_from(["", "e-1"])), max_size=2)
messages = st.builds(
    Message,
    text,
    st.none() | st.binary(max_size=8),
    st.binary(max_size=8),
    st.lists(st.tuples(text, st.binary(max_size=4)), max_size=2).map(tuple),
)
commits = st.builds(
    Commit,
    headers,
    positions,
    st.dictionaries(users, st.binary(max_size=8)),
    st.lists(users, max_size=2),
    st.dictionaries(users, st.integers(0, 9)),
    st.lists(messages, max_size=2),
)


@dataclass(frozen=True)
class Step:
    """What one of the owners does: commit, or open where there is nothing to commit."""

    owner: int
    commit: Commit | None


steps = st.lists(st.builds(Step, st.integers(0, 1), st.none() | commits), max_size=12)


async def history(store: Store, steps: Sequence[Step]) -> list[object]:
    """Everything that can be seen of `steps`, while they are done and afterwards."""
    owners = [store.partition(3), store.partition(3)]
    seen: list[object] = []
    for step in steps:
        owner = owners[step.owner]
        if step.commit is None:
            opened = await owner.open()
            seen.append((opened.header, dict(opened.position), list(opened.outbox)))
        else:
            try:
                await owner.commit(step.commit)
                seen.append("applied")
            except StaleOwner:
                seen.append("stale")
        seen.append(await owner.load(["a", "b", "{c}", "d:*", "e", "nobody"]))
        seen.append([await owner.due(4, 10), await owner.due(9, 2)])
        seen.append(sorted([user async for user in owner.users()]))
    return seen


@pytest.mark.embedded
@settings(max_examples=40, deadline=None, derandomize=True)
@given(steps=steps)
async def test_two_owners_of_a_partition_see_the_same_in_memory_and_in_redis(
    valkey_port: int, steps: list[Step]
) -> None:
    in_redis = RedisStore(RedisAddress(port=valkey_port, prefix=f"same-{next(_prefixes)}"))
    try:
        assert await history(in_redis, steps) == await history(MemoryStore(), steps)
    finally:
        await in_redis.close()
