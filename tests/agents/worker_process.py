"""A real Faust worker with stand-in decisions, as a process of its own.

Reads GROUP, KAFKA, REDIS and, for crash tests, CRASH_AT (name of a point) and CRASH_AFTER (how often it is passed).
"""

import logging
import os

import faust

from agents.monitor import WorkerSettings, build_app
from store.redis import RedisAddress, RedisStore
from tests.agents.standins import deps


def client_id(pid: int) -> str:
    """By what the group's coordinator knows the worker with this process id."""
    return f"worker-{pid}"


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    options = {"bootstrap_servers": os.environ["KAFKA"]}
    crash_at, left = os.environ.get("CRASH_AT"), int(os.environ.get("CRASH_AFTER", "0"))

    def reached(point: str) -> None:
        nonlocal left
        if point == crash_at:
            left -= 1
            if left < 0:
                os._exit(9)

    parts = deps(RedisStore(RedisAddress.from_url(os.environ["REDIS"])), options, reached=reached, batch_size=500)
    known_as = {"broker_client_id": client_id(os.getpid())}
    settings = WorkerSettings(
        group=os.environ["GROUP"], kafka_options=options, session_timeout=6, faust_options=known_as
    )
    app = build_app(settings, parts)
    faust.Worker(app, loglevel=os.environ.get("LEVEL", "WARN"), redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
