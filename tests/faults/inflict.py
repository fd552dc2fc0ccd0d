"""Inflicts the faults, one method per kind; each returns when what it broke is whole again or is being restarted."""

import asyncio
import random
import signal
from collections import Counter

from messages.inputs import USER_TOPICS
from tests.faults.group import Group, Worker
from tests.faults.proxy import Proxy
from tests.faults.schedule import Lengths
from tests.servers.kafka import KafkaCluster
from tests.servers.redis import RedisNode, RedisServers
from tests.servers.replicas import until_in_sync

SNAPSHOT_SECONDS = 10.0
#: How often a worker passes the point at which it dies.
MOST_PASSES = 5
SYNC_SECONDS = 120.0
#: Frozen or cut off for so many session time-outs, a worker has lost its partitions when it comes back.
OVERDUE = 1.5


class Chaos:
    """Breaks a running group, its brokers and its store."""

    def __init__(
        self,
        rng: random.Random,
        group: Group,
        kafka: KafkaCluster,
        servers: RedisServers,
        proxies: list[Proxy],
        lengths: Lengths,
    ) -> None:
        self.inflicted: Counter[str] = Counter()
        self.missed: list[str] = []  # what could not be inflicted, and why
        self._rng, self._group, self._kafka, self._redis = rng, group, kafka, servers
        self._proxies, self._lengths = proxies, lengths
        self._session = group.settings.session_timeout
        self._redis_busy = asyncio.Lock()  # no snapshot is taken of a server that is being broken
        self._catching_up: asyncio.Task[None] | None = None
        self.problem = ""

    async def inflict(self, kind: str) -> None:
        """Do it, and count it unless it could not be done."""
        self.problem = ""
        if kind.startswith("crash-"):
            await self.crash(kind.removeprefix("crash-"))
            return  # it counts once it has died there
        await getattr(self, kind.replace("-", "_"))()
        if self.problem:
            self.missed.append(f"{kind}: {self.problem}")
        else:
            self.inflicted[kind] += 1

    # --- workers

    def _victim(self) -> Worker:
        able = [worker for worker in self._group.workers if worker.lives and not worker.crash_at]
        # The oldest has surely joined the group, young ones may not have.
        return able[0] if self._rng.random() < 0.6 else self._rng.choice(able)

    async def kill(self) -> None:
        self._group.signal(self._victim(), signal.SIGKILL)

    async def term(self) -> None:
        victim = self._victim()
        self._group.signal(victim, signal.SIGTERM)
        await self._ended(victim)

    async def rolling(self) -> None:
        for worker in [worker for worker in self._group.workers if not worker.crash_at]:
            if worker.lives:
                self._group.signal(worker, signal.SIGTERM)
                await self._ended(worker)
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))

    async def _ended(self, worker: Worker) -> None:
        if not await self._group.gone(worker):
            await self._group.explain(worker)
            self._group.signal(worker, signal.SIGKILL)
            self.problem = f"worker {worker.number} did not end when asked to"

    async def zombie(self) -> None:
        victim = self._group.oldest()
        self._group.signal(victim, signal.SIGSTOP)
        await asyncio.sleep(OVERDUE * self._session)
        self._group.signal(victim, signal.SIGCONT)

    async def storm(self) -> None:
        group, wanted = self._group, self._group.wanted
        end = asyncio.get_running_loop().time() + self._lengths.storm
        while asyncio.get_running_loop().time() < end:
            if group.wanted > 1 and (group.wanted > wanted or self._rng.random() < 0.5):
                group.wanted -= 1
                self._group.signal(self._victim(), self._rng.choice([signal.SIGTERM, signal.SIGKILL]))
            else:
                group.wanted += 1
            await asyncio.sleep(self._rng.uniform(2.0, 3.0))
        for worker in group.workers[: max(0, group.wanted - wanted)]:
            group.signal(worker, signal.SIGTERM)
        group.wanted = wanted

    async def crash(self, point: str) -> None:
        """One more worker joins, and dies some time later at the point, after it has passed it a few times."""
        self._group.start_worker(point, self._rng.randint(0, MOST_PASSES))

    async def cut(self) -> None:
        if not any(worker.proxied and worker.lives for worker in self._group.workers):
            self.problem = "no worker was behind the proxy"
            return
        how = "swallow" if self._rng.random() < 0.5 else "drop"
        for proxy in self._proxies:
            proxy.cut("swallow" if how == "swallow" else "drop")
        await asyncio.sleep(OVERDUE * self._session)
        for proxy in self._proxies:
            proxy.mend()

    async def trainer_kill(self) -> None:
        self._group.kill_trainer()

    # --- brokers

    async def _broker(self) -> int:
        """One of them, once all have everything again: no two copies are taken away at once."""
        await self.brokers_whole()
        return self._rng.randrange(len(self._kafka.brokers))

    async def brokers_whole(self) -> None:
        """Return when every broker has everything again."""
        if self._catching_up is not None:
            await self._catching_up
            self._catching_up = None

    async def _broker_back(self, number: int) -> None:
        """Start it, and let it catch up while other things fail."""
        self._kafka.launch_broker(number)
        self._catching_up = asyncio.create_task(self._caught_up(number))

    async def _caught_up(self, number: int) -> None:
        await asyncio.to_thread(self._kafka.await_broker, number)
        await self._in_sync()

    async def _in_sync(self) -> None:
        try:
            await until_in_sync(self._kafka.bootstrap, list(USER_TOPICS), len(self._kafka.brokers), SYNC_SECONDS)
        except TimeoutError:
            self.missed.append(f"the replicas were not in sync again within {SYNC_SECONDS:.0f} s")

    async def broker_restart(self) -> None:
        number = await self._broker()
        await asyncio.to_thread(self._kafka.stop_broker, number)
        await self._broker_back(number)

    async def broker_loss(self) -> None:
        number = await self._broker()
        await asyncio.to_thread(self._kafka.stop_broker, number, kill=True)
        await asyncio.sleep(self._lengths.away)
        await self._broker_back(number)

    async def broker_pause(self) -> None:
        number = await self._broker()
        self._kafka.pause_broker(number)
        await asyncio.sleep(self._lengths.pause)
        self._kafka.resume_broker(number)
        self._catching_up = asyncio.create_task(self._in_sync())

    async def disk_full(self) -> None:
        number = await self._broker()
        process = self._kafka.brokers[number].process
        self._kafka.fill_disk_of(number)
        try:
            async with asyncio.timeout(30):
                while process is not None and process.poll() is None:  # noqa: ASYNC110 - processes tell nothing
                    await asyncio.sleep(0.1)
        except TimeoutError:
            self.problem = "the broker went on with a full disk"
        await asyncio.to_thread(self._kafka.stop_broker, number, kill=True)
        await self._broker_back(number)

    # --- Redis

    def _node(self) -> RedisNode:
        return self._rng.choice(self._redis.nodes)

    async def _redis_back(self, node: RedisNode, *, append: bool = True) -> None:
        node.launch(append=append)
        await asyncio.to_thread(node.wait)

    async def redis_restart(self) -> None:
        async with self._redis_busy:
            node = self._node()
            await asyncio.to_thread(node.shut_down)
            await self._redis_back(node)

    async def redis_lost_second(self) -> None:
        async with self._redis_busy:
            node = self._node()
            if not await asyncio.to_thread(node.lose_last_second):
                self.problem = "nothing was written in the last second"
            await self._redis_back(node)

    async def redis_restored(self) -> None:
        async with self._redis_busy:
            node = self._node()
            if await asyncio.to_thread(node.go_back, self._lengths.restored) is None:
                self.problem = f"no snapshot is {self._lengths.restored:.0f} s old yet"
                return
            await self._redis_back(node, append=False)
            await asyncio.to_thread(node.append)

    async def redis_full(self) -> None:
        async with self._redis_busy:
            node = self._node()
            await asyncio.to_thread(node.fill)
            await asyncio.sleep(self._lengths.full)
            await asyncio.to_thread(node.empty)

    async def redis_unreachable(self) -> None:
        async with self._redis_busy:
            node = self._node()
            node.freeze()
            await asyncio.sleep(self._lengths.unreachable)
            node.thaw()

    async def redis_slow(self) -> None:
        async with self._redis_busy:
            node, end = self._node(), asyncio.get_running_loop().time() + self._lengths.slow
            while asyncio.get_running_loop().time() < end:
                node.freeze()
                await asyncio.sleep(0.08)
                node.thaw()
                await asyncio.sleep(0.02)

    async def take_snapshots(self) -> None:
        """For ever: copies of every node's data to go back to."""
        while True:
            async with self._redis_busy:
                for node in self._redis.nodes:
                    await asyncio.to_thread(node.snapshot)
                    node.forget_snapshots(2 * self._lengths.restored)
            await asyncio.sleep(SNAPSHOT_SECONDS)
