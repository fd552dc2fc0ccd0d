"""Reading another process's /metrics."""

from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Sample:
    """One value with its labels."""

    name: str
    labels: dict[str, str]
    value: float


async def fetch_samples(url: str) -> list[Sample]:
    """All values that the process exposes.

    Raises:
        aiohttp.ClientError: when it does not answer.
    """
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        response.raise_for_status()
        text = await response.text()
    return [
        Sample(sample.name, dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def total(samples: Iterable[Sample], name: str, **labels: str) -> float:
    """Sum of a metric's values over all labels but the given ones."""
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())
