"""The identity of a topic's incarnation, so that a recreated topic is told from the one that a position counts in.

Kafka gives each incarnation a UUID (KIP-516), in its metadata from version 10 on. aiokafka speaks metadata up to
version 5, so the one newer version that is asked for here is described in aiokafka's own protocol terms.
"""

import uuid
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NO_ID = bytes(16)


class _Uuid(AbstractType):  # type: ignore[misc]
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("index", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = tuple(topics)

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        creates_topics = authorized_operations = False
        topics: list[tuple[Any, ...]] = [(_NO_ID, topic, {}) for topic in self._topics]
        return request_struct_class(topics, creates_topics, authorized_operations, {})


async def topic_identities(options: Mapping[str, Any], topics: Iterable[str]) -> dict[str, str]:
    """The UUID of each topic by name, "" where it does not exist or the broker does not tell.

    `options` are what every aiokafka client takes. Raises aiokafka.errors.KafkaError where no broker answers.
    """
    identities = dict.fromkeys(topics, "")
    client = AIOKafkaClient(**options)
    try:
        await client.bootstrap()
        response = await client.send(client.get_random_node(), _MetadataRequest(identities))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return identities
    finally:
        await client.close()
    for error, name, identity, *_ in response.topics:
        if error == 0 and identity != _NO_ID:
            identities[name] = str(uuid.UUID(bytes=identity))
    return identities
