"""A group of real workers of two versions on the embedded services, and what their records say was applied."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import aiohttp
import numpy as np

from app.demo import demo_settings
from app.embedded import Embedded, free_port
from app.settings import environment_of
from features.packing import unpack
from features.record import RECORD
from messages.hashing import stable_hash
from store.contract import Opened
from tests.agents.cluster import ROOT, START_MS, Cluster
from tests.upgrade.layout import BOTH

#: Compiled once and kept: the next version's kernels are for another record.
KERNELS = Path(__file__).parent / "__pycache__" / "kernels"
PRESENT, NEXT = ["app", "worker"], ["-m", "tests.upgrade.next_version"]
USERS = [f"u{number}" for number in range(120)]
SECONDS = 240.0
TOPICS = ("purchases", "repayments", "behaviours")


class Rolling(Cluster):
    """The cluster of the storm, with real workers and records of both versions."""

    embedded: Embedded
    number = 0
    port = 0

    def start(self, version: list[str]) -> "subprocess.Popen[bytes]":
        """One more worker of a version."""
        self.started += 1
        self.port = free_port()
        settings = demo_settings(self.embedded).model_copy(update={"http_port": self.port, "log_level": "info"})
        environment = environment_of(settings)
        if version == NEXT:
            environment["NUMBA_CACHE_DIR"] = str(KERNELS)
        with self.log(self.started).open("wb") as out:
            worker = subprocess.Popen(
                [sys.executable, *version], cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        self.workers.append(worker)
        return worker

    async def ready(self) -> None:
        """Return once the worker started last has joined the group and works; fails when it ends."""
        async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
            while self.workers[-1].poll() is None:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(f"http://127.0.0.1:{self.port}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.2)
        raise AssertionError(f"a worker ended with {self.workers[-1].returncode}: see {self.directory}")

    def log(self, worker: int) -> Path:
        """What the n-th worker printed."""
        return self.directory / f"worker-{worker}.log"

    async def send_some(self, count: int) -> None:
        """Publish `count` events of random users."""
        chance = random.Random(self.number)
        for _ in range(count):
            self.number += 1
            await self.send(chance.choice(TOPICS), chance.choice(USERS), self.number, START_MS + self.number * 1_000)
        await self.producer.flush()

    async def stream(self) -> None:
        """Publish until cancelled."""
        while True:
            await self.send_some(10)
            await asyncio.sleep(0.1)

    async def stored(self) -> dict[str, bytes]:
        """The packed record of each user."""
        store, found = self.store(), dict[str, bytes]()
        for number in range(self.partitions):
            view = store.partition(number)
            loaded = zip(USERS, await view.load(USERS), strict=True)
            found.update({user: blob for user, blob in loaded if blob is not None})
            await view.close()
        await store.close()
        return found

    async def opened(self) -> list[Opened]:
        """Header, position and outbox of each partition."""
        store = self.store()
        views = [store.partition(number) for number in range(self.partitions)]
        found = [await view.open() for view in views]
        for view in views:
            await view.close()
        await store.close()
        return found

    async def applied(self, users: Iterable[str]) -> Counter[str]:
        """Events applied by user, whichever version wrote the record."""
        blobs = await self.stored()
        records = np.zeros(len(blobs), RECORD)
        unpack(list(blobs.values()), records, BOTH)
        assert records["user"].tolist() == [stable_hash(user) for user in blobs]
        return Counter(dict(zip(blobs, records["events"].tolist(), strict=True)))

    async def schemas(self) -> set[int]:
        """Schema versions among the stored records."""
        return {int.from_bytes(blob[:2], "little") for blob in (await self.stored()).values()}

    async def until_schemas(self, wanted: set[int]) -> None:
        """Return once the stored records have these schema versions."""
        async with asyncio.timeout(SECONDS):
            while await self.schemas() != wanted:
                dead = [worker.returncode for worker in self.workers if worker.poll() is not None]
                assert not dead, f"workers ended with {dead}: see {self.directory}"
                await asyncio.sleep(0.3)


def compile_next_version() -> None:
    """Have the next version's kernels ready."""
    KERNELS.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(KERNELS)}
    subprocess.run([sys.executable, *NEXT, "--compile"], cwd=ROOT, env=environment, check=True)
