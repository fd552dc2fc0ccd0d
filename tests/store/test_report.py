import time

import pytest

from store.contract import Commit, Header, StoreUnavailable, TopicPosition
from store.memory import MemoryStore
from store.redis import RedisAddress, RedisStore
from tests.store.conftest import BACKENDS, CLUSTERS, SINGLE_SERVERS
from tests.store.redis_servers import operator


@pytest.mark.parametrize("address", BACKENDS[1:], indirect=True)
async def test_every_server_tells_its_figures_settings_and_clock(
    redis_store: RedisStore, address: RedisAddress
) -> None:
    reports = await redis_store.report()
    assert len({report.server for report in reports}) == (3 if address.cluster else 1)
    for report in reports:
        assert report.info["role"] == "master"
        assert abs(int(report.info["rdb_last_save_time"]) - time.time()) < 3_600
        assert report.config.keys() == {"appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy"}
        assert report.refused == {}
        assert abs(report.ahead_ms) <= report.within_ms + 1
        assert (report.info.get("cluster_state") == "ok") is address.cluster


async def test_memory_has_no_servers() -> None:
    assert await MemoryStore().report() == []


@pytest.mark.parametrize("address", [*SINGLE_SERVERS, *CLUSTERS], indirect=True)
async def test_a_report_writes_nothing(redis_store: RedisStore, address: RedisAddress) -> None:
    view = redis_store.partition(0)
    await view.open()
    await view.commit(Commit(Header(commits=1), {"purchases": TopicPosition(1)}, {"u": b"1"}, timers={"u": 1}))
    before = await view.open(), await view.load(["u"]), await view.due(9, 9)
    await redis_store.report()
    assert (await view.open(), await view.load(["u"]), await view.due(9, 9)) == before
    assert [user async for user in view.users()] == ["u"]
    assert await redis_store.limit_of("doctor-0") is None


@pytest.mark.parametrize("address", SINGLE_SERVERS, indirect=True)
async def test_commands_that_the_login_may_not_use_are_named(address: RedisAddress) -> None:
    rules = ["on", ">secret", f"~{address.prefix}:*", "+@all", "-config", "-zadd", "-watch", "-eval"]
    with operator(address) as admin:
        admin.execute_command("ACL", "SETUSER", "limited", *rules)
        limited = RedisAddress(port=address.port, prefix=address.prefix, username="limited", password="secret")  # noqa: S106
        store = RedisStore(limited)
        (report,) = await store.report()
        await store.close()
        admin.execute_command("ACL", "DELUSER", "limited")
    assert report.refused.keys() == {"ZADD", "WATCH", "EVAL"}
    assert "permission" in report.refused["ZADD"].lower()
    assert report.config == {}


async def test_a_server_that_does_not_answer_makes_no_report() -> None:
    with pytest.raises(StoreUnavailable):
        await RedisStore(RedisAddress(port=1)).report()
