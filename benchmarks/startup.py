"""How long a worker takes from the start of its process until it works on events.

    python -m benchmarks.startup
    python -m benchmarks.startup --apache-kafka --rounds 5

Starts a real worker, alone in its group, on the embedded broker and store: cold, with no machine code of kernels kept
anywhere, and warm, with what the cold one has kept. Its /readyz is asked all the time. The columns are seconds after
the start of the process at which

    answers   it listens: Python and everything that is imported are up
    kernels   the machine code of all kernels is there
    assigned  the group has given it its partitions
    ready     it works on events

Between `answers` and `assigned` lies the broker's wait for more members of the group: on the embedded broker half of a
session time-out, 3 s here; on Apache Kafka `group.initial.rebalance.delay.ms`, which --apache-kafka sets to 0.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp

from app.embedded import child_process, embedded_services, free_port, stop_process
from app.kafka import create_topics
from app.kernels import WORKING
from app.settings import Settings, environment_of, load_settings
from benchmarks.servers import servers
from features.kernel import KERNELS

PROGRAM = Path(__file__).resolve().parents[1] / "app"
PARTITIONS = 4
SECONDS = 300.0
POLL_SECONDS = 0.01
#: A worker that leaves its group ends soon after.
STOP_SECONDS = 60.0


class Start(NamedTuple):
    """Seconds after the start of the process."""

    answers: float
    kernels: float
    assigned: float
    ready: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--apache-kafka", action="store_true", help="instead of the embedded broker and store")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write there when a worker was ready, s")
    given = parser.parse_args(argv)
    with _deployment(apache_kafka=given.apache_kafka) as (settings, described):
        asyncio.run(create_topics(settings))
        kept = "keeps no bytecode: all that is imported is compiled" if sys.dont_write_bytecode else "keeps bytecode"
        print(f"{os.cpu_count()} processors, {described}, {PARTITIONS} partitions; Python {kept};")
        print(f"medians of {given.rounds} starts, s\n")
        found: dict[str, list[Start]] = {"cold": [], "warm": []}
        for number in range(given.rounds):
            with tempfile.TemporaryDirectory() as code:
                for kind, starts in found.items():
                    starts.append(asyncio.run(_start(settings, f"{kind}-{number}", Path(code))))
        print(f"{'':6}{'answers':>10}{'kernels':>10}{'assigned':>10}{'ready':>10}{'at worst':>10}")
        ready = dict[str, float]()
        for kind, starts in found.items():
            medians = [statistics.median(column) for column in zip(*starts, strict=True)]
            worst = max(start.ready for start in starts)
            print(f"{kind:6}" + "".join(f"{seconds:10.2f}" for seconds in (*medians, worst)))
            ready[kind] = medians[-1]
    if given.json:
        given.json.write_text(json.dumps(ready) + "\n")
    return 0


@contextlib.contextmanager
def _deployment(*, apache_kafka: bool) -> Iterator[tuple[Settings, str]]:
    with contextlib.ExitStack() as stack:
        if apache_kafka:
            started = stack.enter_context(servers(durable=False))
            bootstrap, redis_url, described = started.bootstrap, started.redis_url, started.described
        else:
            embedded = stack.enter_context(embedded_services())
            bootstrap, redis_url = embedded.kafka_bootstrap, embedded.redis_url
            described = "the embedded broker (Tansu) and store (Valkey)"
        yield (
            load_settings(kafka_bootstrap=bootstrap, redis_url=redis_url, session_timeout=6.0, partitions=PARTITIONS),
            described,
        )


async def _start(settings: Settings, group: str, code: Path) -> Start:
    """Start a worker with `code` as its place for machine code, and stop it once it is ready."""
    own = settings.model_copy(update={"group": group, "http_port": free_port(), "log_level": "warning"})
    environment = environment_of(own) | {"NUMBA_CACHE_DIR": str(code), "HOME": str(code)}
    log = code / "worker.log"
    began = time.perf_counter()
    worker = child_process([sys.executable, str(PROGRAM), "worker"], log, environment)
    try:
        return await _follow(own, code, worker, began)
    except TimeoutError:
        raise SystemExit(f"the worker is not ready after {SECONDS:.0f} s:\n{log.read_text()[-2_000:]}") from None
    finally:
        stop_process(worker, STOP_SECONDS)


async def _follow(settings: Settings, code: Path, worker: "subprocess.Popen[bytes]", began: float) -> Start:
    reached: dict[str, float] = {}
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
        while "ready" not in reached and worker.poll() is None:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{settings.http_port}/readyz") as response:
                    reasons = await response.text()
                now = time.perf_counter() - began
                reached.setdefault("answers", now)
                if "no assignment" not in reasons:
                    reached.setdefault("assigned", now)
                if response.status == 200:
                    reached["ready"] = now
            if sum(name.endswith(".o") for name in os.listdir(code)) == len(KERNELS) + len(WORKING):
                reached.setdefault("kernels", time.perf_counter() - began)
            await asyncio.sleep(POLL_SECONDS)
    if "ready" not in reached:
        raise TimeoutError
    return Start(reached["answers"], reached["kernels"], reached["assigned"], reached["ready"])


if __name__ == "__main__":
    raise SystemExit(main())
