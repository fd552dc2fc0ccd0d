"""The real worker as a process, which dies at a point of a batch's way where CRASH_AT names one.

CRASH_AFTER says how often it passes that point before. Everything else comes from DUEWATCH_* as in production. SIGUSR1
makes it write what its threads do.
"""

import faulthandler
import os
import signal

from app.settings import load_settings
from app.worker import run_worker

#: Exit code of a worker that died where it was told to.
CRASHED = 9


def main() -> None:
    crash_at, left = os.environ.get("CRASH_AT", ""), int(os.environ.get("CRASH_AFTER", "0"))

    def reached(point: str) -> None:
        nonlocal left
        if point == crash_at:
            left -= 1
            if left < 0:
                os._exit(CRASHED)

    faulthandler.register(signal.SIGUSR1, all_threads=True)
    run_worker(load_settings(), reached=reached)


if __name__ == "__main__":
    main()
