"""What hands record batches to a broker, and what it answers, as bytes: Kafka's Produce, versions 3 to 7.

Record batches as they are today came with version 3, and what versions beyond 7 add is of no use here. The layouts:
https://kafka.apache.org/protocol#The_Messages_Produce.
"""

import struct
from collections.abc import Mapping, Sequence

#: Of Kafka's requests this one, and its versions that are spoken here.
PRODUCE, VERSIONS = 0, range(3, 8)
#: The broker answers once all in-sync replicas have it.
_ALL_REPLICAS, _NO_TRANSACTION, _NO_TEXT = -1, -1, -1
_HEAD, _NUMBER = struct.Struct(">hhih"), struct.Struct(">i")
#: Before the topics of a request: transaction, acks, timeout, their number. Before a batch: partition, size.
_BEFORE, _BATCH = struct.Struct(">hhii"), struct.Struct(">ii")
_LENGTH, _TOPIC = struct.Struct(">H"), struct.Struct(">i")
#: What is said of a partition: its number, an error, the offset, a time; from version 5 on also where the log begins.
_SAID, _SAID_FROM_5 = struct.Struct(">ihqq"), struct.Struct(">ihqqq")

#: The error (0 for none) and the offset of the first record, by topic and partition.
Answer = dict[tuple[str, int], tuple[int, int]]


def request_head(version: int, number: int, client: str) -> bytes:
    """What every request begins with: its version, a number that the answer repeats, and who asks."""
    name = client.encode()
    return _HEAD.pack(PRODUCE, version, number, len(name)) + name


def request_body(batches: Mapping[str, Sequence[tuple[int, bytes | bytearray]]], timeout_ms: int) -> bytes:
    """A request to append, by topic, one batch to each of some partitions; the same in all versions.

    The broker waits for all in-sync replicas, and for no longer than `timeout_ms`.
    """
    parts: list[bytes | bytearray] = [_BEFORE.pack(_NO_TRANSACTION, _ALL_REPLICAS, timeout_ms, len(batches))]
    for topic, of_topic in batches.items():
        name = topic.encode()
        parts += _LENGTH.pack(len(name)), name, _TOPIC.pack(len(of_topic))
        for partition, batch in of_topic:
            parts += _BATCH.pack(partition, len(batch)), batch
    return b"".join(parts)


def request_number(answer: bytes) -> int:
    """The number of the request that this answers. Raises ValueError where the answer is cut off."""
    try:
        (number,) = _NUMBER.unpack_from(answer)
    except struct.error as error:
        raise ValueError("an answer without a number") from error
    return int(number)


def read_answer(answer: bytes, version: int) -> Answer:
    """What a broker says of each partition, read behind the number of the request.

    Raises ValueError where the answer is not of this version, or cut off.
    """
    said = _SAID_FROM_5 if version >= 5 else _SAID
    found: Answer = {}
    try:
        (topics,) = _TOPIC.unpack_from(answer, _NUMBER.size)
        at = _NUMBER.size + _TOPIC.size
        for _ in range(topics):
            (length,) = _LENGTH.unpack_from(answer, at)
            at += _LENGTH.size + length
            topic = answer[at - length : at].decode()
            (partitions,) = _TOPIC.unpack_from(answer, at)
            at += _TOPIC.size
            for _ in range(partitions):
                partition, error, offset, *_ = said.unpack_from(answer, at)
                found[topic, partition] = error, offset
                at += said.size
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError("an answer that is cut off") from error
    if at + _NUMBER.size != len(answer):  # how long the broker holds the client back is said last
        raise ValueError(f"an answer of {len(answer)} bytes that should end after {at + _NUMBER.size}")
    return found
