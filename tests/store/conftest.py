import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from store.contract import Store
from store.memory import MemoryStore
from store.redis import RedisAddress, RedisStore
from tests.store.redis_servers import running_cluster, running_redis, running_valkey

_prefixes = itertools.count()

BACKENDS = [
    "memory",
    pytest.param("valkey", marks=pytest.mark.embedded),
    pytest.param("redis", marks=pytest.mark.redis_server),
    pytest.param("valkey-cluster", marks=pytest.mark.embedded),
    pytest.param("redis-cluster", marks=pytest.mark.redis_server),
]

SINGLE_SERVERS = [BACKENDS[1], BACKENDS[2]]
CLUSTERS = [BACKENDS[3], BACKENDS[4]]


@pytest.fixture(scope="session")
def valkey_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as port:
        yield port


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_redis(tmp_path_factory.mktemp("redis")) as port:
        yield port


def _cluster(kind: str) -> Callable[[pytest.TempPathFactory], Iterator[list[int]]]:
    def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
        with running_cluster(tmp_path_factory.mktemp(f"{kind}-cluster"), kind) as found:
            yield found

    return ports


valkey_cluster_ports = pytest.fixture(scope="session", name="valkey_cluster_ports")(_cluster("valkey"))
redis_cluster_ports = pytest.fixture(scope="session", name="redis_cluster_ports")(_cluster("redis"))


def address_of(backend: str, request: pytest.FixtureRequest) -> RedisAddress:
    """The address of a running server or cluster, with a prefix that no other test has."""
    prefix = f"test-{next(_prefixes)}"
    if backend.endswith("-cluster"):
        ports: list[int] = request.getfixturevalue(f"{backend.replace('-', '_')}_ports")
        return RedisAddress(port=ports[0], prefix=prefix, cluster=True)
    return RedisAddress(port=request.getfixturevalue(f"{backend}_port"), prefix=prefix)


@pytest.fixture
def address(request: pytest.FixtureRequest) -> RedisAddress:
    """For tests that are parametrised indirectly over servers."""
    return address_of(request.param, request)


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RedisStore(address_of(request.param, request))
    yield made
    await made.close()


@pytest.fixture
async def redis_store(address: RedisAddress) -> AsyncIterator[RedisStore]:
    made = RedisStore(address)
    yield made
    await made.close()
