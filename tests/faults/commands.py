"""What an operator does during a run: commands of duewatch, as processes."""

import asyncio
import sys

from app.settings import Settings, environment_of
from tests.faults.group import at_home


async def duewatch(settings: Settings, *arguments: str) -> tuple[int, str]:
    """Run a command against the deployment; its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        *arguments,
        env=at_home(environment_of(settings)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()
