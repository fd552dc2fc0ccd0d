"""Files of contract events as raw records: JSON lines, CSV or Parquet, each also compressed with gzip.

Nothing is validated here: every row becomes the bytes that a producer would have sent, and the decoder judges them.
Only what cannot even be told to belong to a topic is refused here.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, repeat
from pathlib import Path
from typing import IO, Any, get_args, get_origin

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from messages.inputs import BROADCAST_TOPICS, USER_TOPICS
from messages.topics import TOPIC_OF_TYPE
from messages.verdict import Refused

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
CHUNK = 8_192


class UnreadableFile(Exception):
    """The file as a whole cannot be read: missing, of an unknown kind, or damaged."""


class FileRecord(msgspec.Struct, gc=False):
    """One row of a file; it serves the decoder as a Kafka record whose offset is the row's number, from 0."""

    value: bytes | None
    key: bytes | None
    offset: int
    timestamp: int = 0  # arrival: unknown
    time: int = 0  # event time in ms, set by `route`; 0 where the row has none


@dataclass(frozen=True, slots=True)
class Misfit:
    """A row that belongs to no topic, with the class and the text of the reason."""

    record: FileRecord
    error: Refused
    message: str


class _Head(msgspec.Struct, gc=False):
    type: str
    time: int = 0
    user_id: str | None = None
    region: str | None = None
    name: str | None = None


class _Typed(msgspec.Struct, gc=False):
    type: str


_HEAD = msgspec.json.Decoder(_Head)
_TYPED = msgspec.json.Decoder(_Typed)


def read_records(path: Path, first: int = 0) -> Iterator[FileRecord]:
    """The rows of one file in their order, numbered from `first`, `key` still unset.

    Raises:
        UnreadableFile: when the file is missing, of an unknown kind, or damaged.
    """
    try:
        yield from map(FileRecord, _rows(path), repeat(None), count(first))
    except (OSError, EOFError, pa.ArrowException, csv.Error) as error:
        raise UnreadableFile(f"{path}: {error}") from error


def count_records(path: Path) -> int:
    """How many rows there are."""
    return sum(1 for _ in read_records(path))


def chunks(path: Path, size: int = CHUNK, first: int = 0) -> Iterator[list[FileRecord]]:
    """The same in lists of `size`."""
    records = read_records(path, first)
    while chunk := list(islice(records, size)):
        yield chunk


def route(record: FileRecord) -> str | Misfit:
    """Set the record's key and event time from its content and say which topic it belongs to."""
    head: _Head | _Typed
    try:
        head = _HEAD.decode(record.value or b"")
    except msgspec.ValidationError:
        try:
            head = _TYPED.decode(record.value or b"")
        except msgspec.ValidationError as error:
            return Misfit(record, Refused.CONTRACT, f"type: {error}")
    except msgspec.DecodeError as error:
        return Misfit(record, Refused.NOT_JSON, str(error))
    except UnicodeDecodeError as error:
        return Misfit(record, Refused.NOT_UTF8, str(error))
    topic = TOPIC_OF_TYPE.get(head.type)
    if topic is None:
        return Misfit(record, Refused.CONTRACT, f"type: no such event (got {head.type[:64]!r})")
    if isinstance(head, _Head):
        _set(record, topic, head)
    return topic


def route_all(records: Sequence[FileRecord]) -> Sequence[str | Misfit]:
    """`route` of each of `records`, in a third of the time where every one belongs to a topic."""
    try:
        heads = [_HEAD.decode(record.value or b"") for record in records]
        topics = [TOPIC_OF_TYPE[head.type] for head in heads]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return [route(record) for record in records]
    for record, topic, head in zip(records, topics, heads, strict=True):
        _set(record, topic, head)
    return topics


def _set(record: FileRecord, topic: str, head: _Head) -> None:
    key = head.user_id if topic in USER_TOPICS else head.region if topic == "market" else head.name
    record.key = None if key is None else key.encode()
    record.time = head.time


def _rows(path: Path) -> Iterator[bytes]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = bool(suffixes) and suffixes[-1] == ".gz"
    kind = suffixes[-2 if compressed else -1] if len(suffixes) > compressed else ""
    if kind not in SUFFIXES:
        raise UnreadableFile(f"{path}: the name must end in one of {', '.join(SUFFIXES)}, or in such a one and .gz")
    opened: IO[bytes]
    with gzip.open(path, "rb") if compressed else path.open("rb") as opened:  # type: ignore[assignment]
        if kind == ".csv":
            yield from _csv_rows(opened)
        elif kind == ".parquet":
            yield from _parquet_rows(io.BytesIO(opened.read()) if compressed else opened)
        else:
            yield from filter(None, map(bytes.strip, opened))


def _csv_rows(file: IO[bytes]) -> Iterator[bytes]:
    """An empty cell is an absent field. A cell that does not read as its field's type stays text, to be refused."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _csv_values(csv.reader(text))
    finally:
        text.detach()  # whoever opened the file closes it


def _csv_values(reader: Iterator[list[str]]) -> Iterator[bytes]:
    names = next(reader, [])
    readers = [_READERS.get(_PLAIN_TYPES.get(name, str), _as_text) for name in names]
    encode = msgspec.json.Encoder().encode
    for cells in _whole_rows(reader):
        row = {name: read(cell) for name, read, cell in zip(names, readers, cells, strict=False) if cell}
        if len(cells) > len(names):
            row["columns beyond the header"] = len(cells) - len(names)
        try:
            yield encode(row)
        except UnicodeEncodeError:
            yield ",".join(cells).encode(errors="surrogateescape")


def _whole_rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # of this row alone
            cells = [f"not a CSV row: {error}"]
        if cells:
            yield cells


def _parquet_rows(file: IO[bytes]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder(enc_hook=str).encode
    for batch in pq.ParquetFile(file).iter_batches(batch_size=CHUNK):
        for row in _milliseconds(pa.Table.from_batches([batch])).to_pylist():
            yield encode({name: value for name, value in row.items() if value is not None})


def _milliseconds(table: pa.Table) -> pa.Table:
    for index, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            whole = table.column(index).cast(pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64())
            table = table.set_column(index, column.name, whole)
    return table


def _plain_types() -> Mapping[str, type]:
    """The JSON type of every field by name; contracts that share a name share its type."""
    found: dict[str, type] = {}
    for topics in (USER_TOPICS, BROADCAST_TOPICS):
        for models in topics.values():
            for model in models:
                found |= {name: _plain_type(field.annotation) for name, field in model.model_fields.items()}
    return found


def _plain_type(annotation: Any) -> type:
    if isinstance(annotation, type):
        return annotation
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is None or not parts:
        return str
    first = parts[0]
    return _plain_type(first) if isinstance(first, type) or get_args(first) else type(first)


def _as_int(cell: str) -> object:
    digits = cell[1:] if cell.startswith("-") else cell
    return int(cell) if digits.isascii() and digits.isdigit() and len(digits) < 20 else cell


def _as_float(cell: str) -> object:
    try:
        return float(cell)
    except ValueError:
        return cell


def _as_bool(cell: str) -> object:
    return {"true": True, "1": True, "false": False, "0": False}.get(cell.lower(), cell)


def _as_text(cell: str) -> object:
    return cell


_PLAIN_TYPES = _plain_types()
_READERS = {int: _as_int, float: _as_float, bool: _as_bool, str: _as_text}
