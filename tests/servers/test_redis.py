import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.servers.available import redis_server
from tests.servers.redis import RedisNode, RedisServers

pytestmark = [pytest.mark.redis_server, pytest.mark.slow]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RedisNode]:
    redis_server()
    made = RedisNode(tmp_path)
    made.start()
    yield made
    made.close()


def write_until(node: RedisNode, seconds: float) -> int:
    """Count up in one key; the number that is reached."""
    end, number = time.monotonic() + seconds, 0
    with node.client() as client:
        for number in itertools.count(1):
            client.set("count", number)
            if time.monotonic() > end:
                break
    return number


def count(node: RedisNode) -> int:
    with node.client() as client:
        return int(client.get("count") or 0)


def test_what_was_written_survives_a_kill(node: RedisNode) -> None:
    reached = write_until(node, 0.2)
    node.kill()
    node.launch()
    node.wait()
    assert count(node) == reached


def test_the_last_second_can_be_lost_and_the_rest_is_there(node: RedisNode) -> None:
    reached = write_until(node, 2.5)
    assert node.lose_last_second() > 0
    node.launch()
    node.wait()
    assert reached * 0.2 < count(node) < reached * 0.9


def test_a_server_goes_back_to_a_snapshot_and_then_writes_its_file_again(node: RedisNode) -> None:
    first = write_until(node, 0.1)
    node.snapshot()
    write_until(node, 0.5)
    node.snapshot()
    assert node.go_back(3600) is None
    assert node.go_back(node.snapshots[-1].taken - node.snapshots[0].taken) is not None
    node.launch(append=False)
    node.wait()
    assert count(node) == first
    assert len(node.snapshots) == 1
    node.append()
    with node.client() as client:
        client.set("count", 7)
        while client.info("persistence")["aof_rewrite_in_progress"]:
            pass
    node.kill()
    node.launch()
    node.wait()
    assert count(node) == 7


def test_a_full_server_refuses_writes_until_it_is_emptied(node: RedisNode) -> None:
    write_until(node, 0.05)
    node.fill()
    with node.client() as client:
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            client.set("more", "x" * 100_000)
        node.empty()
        assert client.set("more", "x" * 100_000)


def test_a_frozen_server_does_not_answer_until_it_is_thawed(node: RedisNode) -> None:
    node.freeze()
    with node.client(socket_timeout=0.3) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    node.thaw()
    with node.client() as client:
        assert client.ping()


def test_a_node_of_a_cluster_comes_back_with_its_slots(tmp_path: Path) -> None:
    redis_server()
    servers = RedisServers(tmp_path, cluster=True)
    servers.start()
    try:
        with redis.RedisCluster(host="127.0.0.1", port=servers.nodes[0].port) as client:
            for number in range(60):
                client.set(f"key-{number}", number)
        node = servers.nodes[1]
        node.snapshot()
        assert node.go_back(0) is not None
        node.launch(append=False)
        node.wait()
        node.append()
        with redis.RedisCluster(host="127.0.0.1", port=servers.nodes[2].port) as client:
            assert [int(client.get(f"key-{number}") or -1) for number in range(60)] == list(range(60))
    finally:
        servers.close()
