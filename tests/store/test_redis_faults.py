"""What the Redis store does when the server is away, full, read-only, slow, restarted or damaged."""

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from store.contract import Commit, CorruptState, Header, LimitView, StaleOwner, StoreUnavailable
from store.redis import RedisAddress, RedisStore
from tests.store.conftest import CLUSTERS, SINGLE_SERVERS
from tests.store.redis_servers import admin, free_port, operator, running_redis
from tests.store.samples import commit

on_single_servers = pytest.mark.parametrize("address", SINGLE_SERVERS, indirect=True)
on_clusters = pytest.mark.parametrize("address", CLUSTERS, indirect=True)


async def test_a_store_that_is_not_there_is_unavailable_to_every_call() -> None:
    store = RedisStore(RedisAddress(port=free_port()))
    view = store.partition(0)
    for call in (view.open, store.ping, lambda: view.load(["u"]), lambda: view.due(1, 1), lambda: store.limit_of("u")):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
            await call()
    await store.close()


async def test_a_cluster_that_is_not_there_is_unavailable_to_every_call() -> None:
    store = RedisStore(RedisAddress(port=free_port(), cluster=True))
    view = store.partition(0)
    for call in (view.open, store.ping, lambda: view.load(["u"]), lambda: store.limit_of("u")):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
            await call()
    await store.close()


@on_single_servers
async def test_a_server_that_does_not_answer_in_time_is_unavailable(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    hasty = RedisStore(replace(address, timeout=0.1))
    view = hasty.partition(3)
    await view.open()
    with operator(address) as client:
        client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        with pytest.raises(StoreUnavailable):
            await view.commit(commit(1))
        client.execute_command("CLIENT", "UNPAUSE")
    view_after = redis_store.partition(3)
    commits = (await view_after.open()).header.commits
    assert await view_after.load(["u"]) == [b"%d" % commits if commits else None]
    await view_after.commit(commit(commits + 1))
    await hasty.close()


@on_single_servers
async def test_a_full_server_refuses_a_commit_whole_and_takes_it_once_there_is_room(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    view = redis_store.partition(3)
    await view.open()
    await view.commit(commit(1))
    with operator(address) as client:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable, match="OutOfMemory"):
                await view.commit(commit(2))
            assert await view.load(["u", "u2"]) == [b"1", None]
            assert await view.due(1, 5) == ["u"]
            assert (await view.open()).header.commits == 1
        finally:
            client.config_set("maxmemory", 0)
    await view.commit(commit(2))
    assert await view.load(["u", "u2"]) == [b"2", b"x"]


@on_single_servers
async def test_a_server_that_became_a_replica_refuses_a_commit_whole(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    view = redis_store.partition(3)
    await view.open()
    await view.commit(commit(1))
    with operator(address) as client:
        client.replicaof("127.0.0.1", free_port())
        try:
            with pytest.raises(StoreUnavailable, match="ReadOnly"):
                await view.commit(commit(2))
            assert await view.load(["u", "u2"]) == [b"1", None]
        finally:
            client.replicaof("NO", "ONE")
    await view.commit(commit(2))


@on_single_servers
async def test_a_server_busy_with_a_script_is_unavailable_for_now(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    view = redis_store.partition(3)
    await view.open()
    with operator(address) as client:
        before = client.config_get("lua-time-limit")["lua-time-limit"]
        client.config_set("lua-time-limit", 1)
        endless = asyncio.create_task(asyncio.to_thread(_run_endless_script, address))
        refused: list[str] = []
        while not refused and not endless.done():
            try:
                await view.commit(commit(1))
            except StoreUnavailable as failure:
                refused.append(str(failure))
            except StaleOwner:
                await view.open()
        client.execute_command("SCRIPT", "KILL")
        await endless
        client.config_set("lua-time-limit", before)
    assert "BUSY" in refused[0]
    await view.open()
    await view.commit(commit(2))


def _run_endless_script(address: RedisAddress) -> None:
    with operator(address) as client, pytest.raises(redis.ResponseError, match="kill"):
        client.eval("while true do end", 0)


@on_single_servers
async def test_a_cancelled_call_leaves_no_answer_behind_for_the_next_one(redis_store: RedisStore) -> None:
    view = redis_store.partition(3)
    await view.open()
    await view.commit(Commit(Header(commits=1), {}, {f"u{number}": b"%d" % number for number in range(2_000)}))
    for turns in range(12):
        loading = asyncio.create_task(view.load([f"u{number}" for number in range(2_000)]))
        for _ in range(turns):
            await asyncio.sleep(0)
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        assert await view.load(["u7", "nobody"]) == [b"7", None]


@on_single_servers
async def test_opening_names_what_is_damaged(address: RedisAddress, redis_store: RedisStore) -> None:
    view = redis_store.partition(3)
    tag = f"{address.prefix}:{{3}}"
    damages: list[tuple[str, list[Any], str]] = [
        ("header", ["SET", b"\xc1nonsense"], "header"),
        ("header", ["SET", b"\x91\x63"], "newer version"),
        ("header", ["DEL"], "header: is missing"),
        ("position", ["DEL"], "position: is missing"),
        ("position", ["HSET", "purchases", "minus one"], "position, purchases"),
        ("outbox", ["RPUSH", b"\x00"], "outbox"),
        ("outbox", ["SET", b""], "WRONGTYPE"),
        ("timers", ["SET", b""], "WRONGTYPE"),
        ("position", ["SET", b""], "WRONGTYPE"),
    ]
    with operator(address) as client:
        for name, (command, *values), said in damages:
            client.delete(*(f"{tag}:{each}" for each in ("position", "header", "outbox", "timers")))
            await view.open()
            await view.commit(commit(1))
            client.execute_command(command, f"{tag}:{name}", *values)
            with pytest.raises(CorruptState, match=said):
                await view.open()


@on_single_servers
async def test_a_damaged_limit_is_named(address: RedisAddress, redis_store: RedisStore) -> None:
    with operator(address) as client:
        client.hset(f"{address.prefix}:limit:u", mapping={"limit": "plenty", "version": 1})
    with pytest.raises(CorruptState, match="limit:u"):
        await redis_store.limit_of("u")


@on_single_servers
async def test_a_checkout_system_reads_a_limit_as_plain_fields(address: RedisAddress, redis_store: RedisStore) -> None:
    await redis_store.project_limits(
        [LimitView("u", 250_000, frozen=False, grade="B", default_probability=0.125, version=7)]
    )
    with operator(address) as client:
        assert client.hgetall(f"{address.prefix}:limit:u") == {
            b"limit": b"250000",
            b"frozen": b"0",
            b"grade": b"B",
            b"default_probability": b"0.125",
            b"version": b"7",
        }


@pytest.mark.parametrize("address", [SINGLE_SERVERS[0]], indirect=True)
async def test_deployments_with_different_prefixes_do_not_see_each_other(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    other_store = RedisStore(replace(address, prefix=f"{address.prefix}*"))
    view, other = redis_store.partition(3), other_store.partition(3)
    await view.open()
    await other.open()
    await view.commit(commit(1))
    await other.commit(commit(2))
    assert sorted([user async for user in view.users()]) == ["u", "u1"]
    assert sorted([user async for user in other.users()]) == ["u", "u2"]
    await other_store.close()


@on_single_servers
async def test_a_login_with_only_the_documented_rights_can_do_everything(address: RedisAddress) -> None:
    rights = f"resetkeys ~{address.prefix}:* -@all +@read +@write +@transaction +@connection +eval +evalsha -@dangerous"
    right, wrong = "let me in", "let me out"
    with operator(address) as client:
        client.execute_command("ACL", "SETUSER", "duewatch", "on", f">{right}", *rights.split())
    store = RedisStore(replace(address, username="duewatch", password=right))
    view = store.partition(3)
    await view.open()
    await view.commit(commit(1))
    assert [user async for user in view.users()]
    assert await view.due(9, 9) == ["u"]
    await store.ping()
    await store.close()
    stranger = RedisStore(replace(address, username="duewatch", password=wrong))
    with pytest.raises(StoreUnavailable, match="password"):
        await stranger.ping()
    await stranger.close()


@pytest.mark.redis_server
async def test_a_server_with_tls_is_reached_only_with_its_authority(tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    _make_certificate(certificate, key)
    options = ["--port", "0", "--tls-port", "PORT", "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
               "--tls-ca-cert-file", str(certificate)]  # fmt: skip
    login: dict[str, Any] = {
        "ssl": True,
        "ssl_ca_certs": str(certificate),
        "ssl_certfile": str(certificate),
        "ssl_keyfile": str(key),
    }
    with running_redis(tmp_path / "redis", options, **login) as port:
        known = RedisAddress(
            port=port, tls=True, ca_file=str(certificate), certificate_file=str(certificate), key_file=str(key)
        )
        store = RedisStore(known)
        view = store.partition(1)
        await view.open()
        await view.commit(commit(1))
        await store.close()
        for wrong in (replace(known, ca_file=None), replace(known, certificate_file=None, key_file=None)):
            stranger = RedisStore(wrong)
            with pytest.raises(StoreUnavailable):
                await stranger.ping()
            await stranger.close()


def _make_certificate(certificate: Path, key: Path) -> None:
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    made = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *made], check=True, capture_output=True)


@pytest.mark.redis_server
async def test_a_restarted_server_that_lost_its_last_commits_makes_its_owners_start_from_the_older_state(
    tmp_path: Path,
) -> None:
    port = free_port()
    store = RedisStore(RedisAddress(port=port))
    view = store.partition(1)
    with running_redis(tmp_path / "redis", port=port):
        await view.open()
        await view.commit(commit(1))
        with admin(port) as client:
            client.save()
        await view.commit(commit(2))
    with pytest.raises(StoreUnavailable):
        await view.commit(commit(3))
    with running_redis(tmp_path / "redis", port=port):
        with pytest.raises(StaleOwner):
            await view.commit(commit(3))
        assert (await view.open()).header.commits == 1
        assert await view.load(["u", "u2"]) == [b"1", None]
        await view.commit(commit(2))
        await store.close()


@on_clusters
async def test_a_partition_is_found_again_after_its_slot_moved_to_another_node(
    address: RedisAddress, redis_store: RedisStore
) -> None:
    view = redis_store.partition(3)
    await view.open()
    await view.commit(commit(1))
    moved_from, moved_to = _move_slot(address, f"{address.prefix}:{{3}}:position")
    try:
        with pytest.raises(StoreUnavailable, match="Moved"):
            await view.commit(commit(2))
        await view.commit(commit(2))
        assert (await view.open()).header.commits == 2
        assert await view.load(["u", "u1", "u2"]) == [b"2", b"x", b"x"]
    finally:
        assert _move_slot(address, f"{address.prefix}:{{3}}:position", moved_from) == (moved_to, moved_from)


def _move_slot(address: RedisAddress, key: str, to: int | None = None) -> tuple[int, int]:
    """Move a key's slot with all that is in it from the node that holds it to another; gives both ports."""
    with operator(address) as client:
        slot = client.execute_command("CLUSTER", "KEYSLOT", key)
        nodes = [
            (first <= slot <= last, master[1], master[2].decode())
            for first, last, master, *_ in client.execute_command("CLUSTER", "SLOTS")
        ]
    (_, source_port, source_id) = next(node for node in nodes if node[0])
    (_, target_port, target_id) = next(node for node in nodes if node[1] == to or (to is None and not node[0]))
    with admin(source_port) as source, admin(target_port) as target:
        target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1_000):
            source.execute_command("MIGRATE", "127.0.0.1", target_port, "", 0, 5_000, "KEYS", *keys)
        for node in (target, source):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
    return source_port, target_port
