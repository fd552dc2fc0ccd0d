"""Kafka Streams (Java): a processor with a RocksDB store, its cache and its changelog, as its documentation teaches.

Guarantee: at-least-once, or exactly-once (`exactly_once_v2`: offsets, changelog and warnings in one transaction). State
is durable in the changelog topic. Timed is the second of two runs in one virtual machine, each from nothing over the
whole stream, so its code is compiled by then; the end is when the offsets of all events are committed, which Kafka
Streams does after state and warnings are flushed.

Two processors are shared with the broker here: more than one thread, a larger cache or a longer commit interval were
tried, and what is fastest was kept.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

from benchmarks.servers import CACHE
from benchmarks.standard.task import Task
from tests.servers.kafka import jars

_HERE = Path(__file__).parent
_SOURCE, _POM = _HERE / "StandardJob.java", _HERE / "pom.xml"


def lacking() -> str:
    """What is not installed, "" where it can run."""
    missing = [tool for tool in ("javac", "mvn") if shutil.which(tool) is None]
    return f"{' and '.join(missing)} (Debian: openjdk-17-jdk-headless, maven)" if missing else ""


def command(task: Task, guarantee: str) -> list[str]:
    """The command that runs it; fetches jars and compiles where that has not been done yet."""
    options = {
        "bootstrap": task.bootstrap,
        "topic": task.topic,
        "warnings": task.warnings,
        "group": task.group,
        "events": str(task.events),
        "partitions": str(task.partitions),
        "directory": task.directory,
        "guarantee": guarantee,
        "threads": task.options.get("threads", "1"),
        "cache": task.options.get("cache", str(256 << 20)),
    }
    if "interval" in task.options:
        options["interval"] = task.options["interval"]
    libraries = jars(CACHE, _POM)
    classes = _compiled(libraries)
    return [
        "java",
        "-Xmx3g",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{classes}:{libraries}/*",
        "StandardJob",
        *(f"{name}={value}" for name, value in options.items()),
    ]


def _compiled(libraries: Path) -> Path:
    """Where the classes are."""
    content = _SOURCE.read_bytes() + _POM.read_bytes()
    classes = CACHE / f"standard-job-{hashlib.sha256(content).hexdigest()[:12]}"
    if not (classes / "StandardJob.class").exists():
        classes.mkdir(parents=True, exist_ok=True)
        subprocess.run(["javac", "-cp", f"{libraries}/*", "-d", str(classes), str(_SOURCE)], check=True)
    return classes
