"""Everything that ever failed, and known nasty cases: JSON lines, a file per target, bytes compressed, in base64."""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.records import Fuzzed

DIRECTORY = Path(__file__).parent / "corpus"
DECODER, POLICY = "decoder", "policy"


def cases(target: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and fields of each case of a target."""
    for number, line in enumerate((DIRECTORY / f"{target}.jsonl").read_text().splitlines(), 1):
        fields = json.loads(line)
        yield f"{number} {fields.pop('name')}", fields


def add(target: str, name: str, fields: dict[str, Any]) -> None:
    """Append a case, unless its bytes are there already."""
    path = DIRECTORY / f"{target}.jsonl"
    known = [fields for _, fields in cases(target)] if path.exists() else []
    if fields not in known:
        with path.open("a") as file:
            file.write(json.dumps({"name": name, **fields}) + "\n")


def of_record(record: Fuzzed) -> dict[str, Any]:
    """A record as the fields of a case."""
    return {
        "topic": record.topic,
        "key": of_bytes(record.key),
        "value": of_bytes(record.value),
        "timestamp": record.timestamp,
    }


def record_of(fields: dict[str, Any], offset: int) -> Fuzzed:
    """The record of a case."""
    return Fuzzed(fields["topic"], bytes_of(fields["value"]), bytes_of(fields["key"]), offset, fields["timestamp"])


def of_bytes(value: bytes | None) -> str | None:
    """Compressed, in base64."""
    return None if value is None else b64encode(zlib.compress(value, 9)).decode()


def bytes_of(text: str | None) -> bytes | None:
    """What `of_bytes` was given."""
    return None if text is None else zlib.decompress(b64decode(text))
