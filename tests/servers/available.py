"""What tests do where a server that they need is not installed: skip by name, but fail where CI promises it."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from tests.servers.kafka import ToolMissing, jars

#: Where the jars of Apache Kafka are kept between runs.
CACHE = Path.home() / ".cache" / "duewatch"


def kafka_libraries() -> Path:
    """The directory of Apache Kafka's jars."""
    try:
        return jars(CACHE)
    except ToolMissing as missing:
        _absent(str(missing))


def redis_server() -> str:
    """The path of redis-server."""
    found = shutil.which("redis-server")
    if found is None:
        _absent("redis-server is not on the PATH; Debian: apt-get install redis-server")
    return found


def _absent(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
