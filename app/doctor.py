"""Examines a deployment: everything it rests on, what is wrong with that, and how to mend it. Nothing is changed."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator

from agents.starts import Verdict
from app.build import signing_key
from app.core import decoder, first_in_force
from app.doctor_kafka import examine_kafka
from app.doctor_redis import examine_server
from app.finding import Finding, Status
from app.kafka import KafkaUnavailable
from app.positions import PartitionState, ResetRefused, read_states
from app.settings import Settings, unknown_variables
from policy.policy import PolicyError
from store.contract import CorruptState, ServerReport, Store, StoreUnavailable

HERE = "this machine"


async def examine(settings: Settings, store: Store, *, measure_clocks: bool = False) -> AsyncIterator[Finding]:
    """Every finding, in the order in which it is made.

    `measure_clocks` asks for the brokers' clocks: a topic of the doctor's own is created for that, and deleted again.
    """
    for finding in _examine_here(settings):
        yield finding
    reports: list[ServerReport] = []
    try:
        reports = await store.report()
    except StoreUnavailable as error:
        yield Finding("Redis", "reachable", Status.FAILURE, str(error), "see docs/runbooks/redis-down.md")
    for report in reports:
        yield Finding(report.server, "reachable", Status.OK, "answers")
        for finding in examine_server(report):
            yield finding
    kafka_answers = True
    async for finding in examine_kafka(settings, reports, measure_clocks=measure_clocks):
        kafka_answers &= not (finding.check == "reachable" and finding.status is Status.FAILURE)
        yield finding
    if reports and kafka_answers:
        async for finding in _examine_positions(settings, store):
            yield finding


def _examine_here(settings: Settings) -> Iterator[Finding]:
    unknown = unknown_variables()
    if unknown:
        yield Finding(
            HERE, "environment", Status.WARNING, f"variables that mean nothing: {', '.join(unknown)}",
            "`duewatch settings` lists those that do",
        )  # fmt: skip
    try:
        decoder(settings)
        yield Finding(HERE, "policy", Status.OK, first_in_force(settings).policy.version)
    except (PolicyError, ValueError) as error:
        yield Finding(HERE, "policy", Status.FAILURE, str(error), "`duewatch policy check FILE` names every mistake")
    if signing_key(settings) is None:
        yield Finding(
            HERE, "signing key", Status.WARNING, "none: models are refused and the trainer does not start",
            "set DUEWATCH_HMAC_KEY or DUEWATCH_HMAC_KEY_FILE, the same for all processes",
        )  # fmt: skip
    else:
        yield Finding(HERE, "signing key", Status.OK, "set")
    if settings.pseudonym_key is None:
        yield Finding(
            HERE, "pseudonym key", Status.WARNING, "none: users have another pseudonym in the logs of each process",
            "set DUEWATCH_PSEUDONYM_KEY or DUEWATCH_PSEUDONYM_KEY_FILE",
        )  # fmt: skip
    yield _data_directory(settings)


def _data_directory(settings: Settings) -> Finding:
    directory = settings.data_directory
    if directory is None:
        return Finding(HERE, "data directory", Status.OK, f"a temporary one in {tempfile.gettempdir()}")
    writable = os.access(directory if directory.exists() else directory.parent, os.W_OK | os.X_OK)
    if writable:
        return Finding(HERE, "data directory", Status.OK, f"{directory} can be written")
    hint = "make it writable for the user that runs the workers, or set DUEWATCH_DATA_DIRECTORY"
    return Finding(HERE, "data directory", Status.FAILURE, f"{directory} cannot be written", hint)


async def _examine_positions(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    try:
        states = await read_states(store, settings)
    except StoreUnavailable as error:
        yield Finding("state", "positions", Status.FAILURE, str(error), "see docs/runbooks/redis-down.md")
    except CorruptState as error:
        yield Finding("state", "positions", Status.FAILURE, str(error), "see docs/runbooks/corrupt-state.md")
    except (KafkaUnavailable, ResetRefused) as error:
        yield Finding(
            "state", "positions", Status.FAILURE, str(error), "mend the topics first: `duewatch topics check`"
        )
    else:
        yield _positions(states)
        yield _lag(states)
        waiting = sum(state.outbox for state in states)
        yield Finding("state", "outbox", Status.OK, f"{waiting:,} messages of the last commits")


def _positions(states: list[PartitionState]) -> Finding:
    bad: dict[Verdict, list[str]] = {}
    for state in states:
        for place in state.places:
            if place.verdict not in (Verdict.OK, Verdict.NEW):
                bad.setdefault(place.verdict, []).append(f"{place.topic}[{place.partition}]")
    if not bad:
        committed = sum(bool(state.header.commits) for state in states)
        return Finding(
            "state", "positions", Status.OK, f"within the logs; {committed} of {len(states)} partitions in use"
        )
    text = "; ".join(f"{verdict}: {', '.join(places)}" for verdict, places in bad.items())
    page = "events-lost.md" if set(bad) == {Verdict.LOST} else "topic-recreated.md"
    return Finding("state", "positions", Status.FAILURE, text, f"`duewatch position show`; see docs/runbooks/{page}")


def _lag(states: list[PartitionState]) -> Finding:
    waiting = [(place.lag or 0, f"{place.topic}[{place.partition}]") for state in states for place in state.places]
    most, where = max(waiting)
    text = f"{sum(lag for lag, _ in waiting):,} records wait" + (f", most of them in {where}: {most:,}" if most else "")
    return Finding("state", "lag", Status.OK, text)
