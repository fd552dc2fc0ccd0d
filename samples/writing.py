"""Writes contract events to files that `send` and `replay` read."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from messages.inputs import USER_TOPICS

_CHUNK = 50_000


class UnknownFormat(ValueError):
    """The name of the output file ends with none of the known endings."""


def write_events(events: Iterable[Mapping[str, Any]], out: Path) -> int:
    """Writes events in the order given; returns their number.

    `.jsonl` and `.jsonl.gz`: one JSON object per line. `.parquet`: one column per field of the user-event contracts,
    null where an event does not have it. Equal events give equal bytes of JSONL. Raises `UnknownFormat`.
    """
    if out.name.endswith(".parquet"):
        return _write_parquet(iter(events), out)
    if out.name.endswith(".jsonl.gz"):
        # Without time and name in the header the same events give the same bytes.
        with (
            out.open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6) as file,
        ):
            return _write_lines(events, file)
    if out.name.endswith(".jsonl"):
        with out.open("wb") as file:
            return _write_lines(events, file)
    raise UnknownFormat(f"{out.name}: expected .jsonl, .jsonl.gz or .parquet")


def _write_lines(events: Iterable[Mapping[str, Any]], file: IO[bytes] | gzip.GzipFile) -> int:
    count = 0
    for event in events:
        file.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        count += 1
    return count


def _write_parquet(events: Iterator[Mapping[str, Any]], out: Path) -> int:
    schema, count = _schema(), 0
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while chunk := list(islice(events, _CHUNK)):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
            count += len(chunk)
    return count


def _schema() -> pa.Schema:
    types = {"integer": pa.int64(), "boolean": pa.bool_(), "string": pa.string()}
    fields: dict[str, pa.DataType] = {}
    for contracts in USER_TOPICS.values():
        for contract in contracts:
            for name, field in contract.model_json_schema()["properties"].items():
                described = [field, *field.get("anyOf", [])]
                fields.setdefault(name, next(types[d["type"]] for d in described if "type" in d))
    return pa.schema(list(fields.items()))
