"""A deployment on the embedded broker and store, without workers: topics, a store, and the command line on both."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiokafka
from typer.testing import CliRunner, Result

from app.cli import application
from app.kafka import create_topics
from app.settings import Settings, environment_of, load_settings
from store.contract import Commit, TopicPosition
from store.redis import RedisStore

PARTITIONS = 2


@dataclass
class Deployment:
    settings: Settings

    @classmethod
    async def create(cls, kafka: str, redis: str, prefix: str, **others: Any) -> "Deployment":
        values = {"partitions": PARTITIONS, "group": prefix, "redis_prefix": prefix, **others}
        settings = load_settings(kafka_bootstrap=kafka, redis_url=redis, **values)
        await create_topics(settings)
        return cls(settings)

    async def run(self, *arguments: str, answer: str = "", **environment: str) -> Result:
        """The command line, with this deployment's settings as its environment."""
        values = {**environment_of(self.settings), "COLUMNS": "250", **environment}
        return await asyncio.to_thread(CliRunner(env=values).invoke, application, list(arguments), input=answer)

    async def json(self, *arguments: str) -> Any:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    @contextmanager
    def store(self) -> Iterator[RedisStore]:
        yield RedisStore(self.settings.redis_address())

    async def commit(self, partition: int, **parts: Any) -> None:
        """One more commit of a partition, as a worker would make it."""
        with self.store() as store:
            view = store.partition(partition)
            opened = await view.open()
            header = replace(opened.header, commits=opened.header.commits + 1)
            await view.commit(Commit(**{"header": header, "position": {}, **parts}))
            await store.close()

    async def position(self, partition: int) -> dict[str, TopicPosition]:
        with self.store() as store:
            opened = await store.partition(partition).open()
            await store.close()
        return dict(opened.position)

    async def publish(self, topic: str, partition: int, count: int) -> None:
        """Records that nobody could decode; most commands look at offsets only."""
        producer = aiokafka.AIOKafkaProducer(**self.settings.kafka_client_options())
        await producer.start()
        for number in range(count):
            await producer.send(topic, b"%d" % number, partition=partition)
        await producer.stop()
