"""Files that a replay writes: decisions, scores and dead letters. Equal content gives equal bytes."""

import contextlib
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from messages.message import Message
from messages.outputs import GRADES
from messages.verdict import Refusal

SCORE_SUFFIXES = (".csv", ".jsonl", ".parquet")


class UnknownSuffix(ValueError):
    """The name of an output file ends with none of the known endings."""


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """One row per applied event, in the order of their application; n of each.

    `time` in seconds since 1970 UTC, `grade` as in the record (0 none, 1 A, 2 B, 3 C), `limit` in minor units.
    """

    event_id: Sequence[str]
    user_id: Sequence[str]
    time: NDArray[np.int64]
    default_probability: NDArray[np.float64]
    spending_anomaly: NDArray[np.float64]
    grade: NDArray[np.uint8]
    limit: NDArray[np.int64]


class Sink(Protocol):
    """Takes what a replay brings forth, batch by batch."""

    def decisions(self, messages: Sequence[Message]) -> None:
        """Decisions in their order."""
        ...

    def scores(self, rows: ScoreRows) -> None:
        """Scores of applied events."""
        ...

    def dead_letters(self, refusals: Sequence[Refusal]) -> None:
        """What was refused."""
        ...


class Files:
    """Writes to those of the three files that are given."""

    def __init__(
        self, decisions: IO[bytes] | None, scores: "_ScoreWriter | None", dead_letters: IO[bytes] | None
    ) -> None:
        self._decisions, self._scores, self._dead_letters = decisions, scores, dead_letters

    def decisions(self, messages: Sequence[Message]) -> None:
        """One JSON object per line, as published."""
        if self._decisions is not None:
            self._decisions.writelines(message.value + b"\n" for message in messages)

    def scores(self, rows: ScoreRows) -> None:
        """One row per applied event."""
        if self._scores is not None and len(rows.time):
            self._scores.write(_table(rows))

    def dead_letters(self, refusals: Sequence[Refusal]) -> None:
        """One JSON object per line: row of the file (from 1), topic, error, message, key and value."""
        if self._dead_letters is not None:
            for refusal in refusals:
                letter = {
                    "row": refusal.offset + 1,
                    "topic": refusal.source.topic,
                    "error": str(refusal.error),
                    "message": refusal.message,
                    "key": _readable(refusal.key),
                    "value": _readable(refusal.value),
                }
                self._dead_letters.write(json.dumps(letter, ensure_ascii=False).encode() + b"\n")


@contextlib.contextmanager
def open_files(decisions: Path | None, scores: Path | None, dead_letters: Path | None) -> Iterator[Files]:
    """Files to write to; each may be None, and may end in .gz.

    Raises:
        UnknownSuffix: where the scores' name is not .csv, .jsonl or .parquet, perhaps with .gz.
    """
    with contextlib.ExitStack() as stack:
        writer = None if scores is None else _score_writer(stack, scores)
        yield Files(_open(stack, decisions), writer, _open(stack, dead_letters))


class _ScoreWriter(Protocol):
    def write(self, table: pa.Table) -> None: ...


class _JsonLines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, table: pa.Table) -> None:
        self._file.writelines(json.dumps(row).encode() + b"\n" for row in table.to_pylist())


#: Rows that a Parquet row group gathers: groups must not show where batches were cut.
_GROUP = 65_536


class _Parquet:
    """Row groups of a fixed size, however the rows come."""

    def __init__(self, file: IO[bytes]) -> None:
        self._writer = pq.ParquetWriter(file, _SCHEMA, compression="zstd")
        self._waiting: list[pa.Table] = []
        self._count = 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._count += table.num_rows
        while self._count >= _GROUP:
            whole = pa.concat_tables(self._waiting)
            self._writer.write_table(whole.slice(0, _GROUP).combine_chunks())
            self._waiting = [whole.slice(_GROUP)]
            self._count -= _GROUP

    def close(self) -> None:
        if self._count:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._writer.close()


_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("time", pa.int64()),
        ("default_probability", pa.float64()),
        ("spending_anomaly", pa.float64()),
        ("grade", pa.string()),
        ("limit", pa.int64()),
    ]
)
_LETTERS = np.array(["", *GRADES], object)


def _table(rows: ScoreRows) -> pa.Table:
    columns: list[Any] = [
        pa.array(rows.event_id, pa.string()),
        pa.array(rows.user_id, pa.string()),
        pa.array(rows.time * 1000, pa.int64()),
        pa.array(rows.default_probability, pa.float64()),
        pa.array(rows.spending_anomaly, pa.float64()),
        pa.array(_LETTERS[rows.grade], pa.string()),
        pa.array(rows.limit, pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def _score_writer(stack: contextlib.ExitStack, path: Path) -> _ScoreWriter:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in SCORE_SUFFIXES:
        raise UnknownSuffix(
            f"{path}: the name must end in one of {', '.join(SCORE_SUFFIXES)}, or in such a one and .gz"
        )
    file = _open(stack, path)
    if kind == ".jsonl":
        return _JsonLines(file)
    if kind == ".parquet":
        return stack.enter_context(contextlib.closing(_Parquet(file)))
    writer: _ScoreWriter = stack.enter_context(
        pa_csv.CSVWriter(file, _SCHEMA, write_options=pa_csv.WriteOptions(quoting_style="needed"))
    )
    return writer


def _open(stack: contextlib.ExitStack, path: Path | None) -> Any:
    if path is None:
        return None
    file = stack.enter_context(path.open("wb"))
    if path.suffix != ".gz":
        return file
    return stack.enter_context(gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=6))


def _readable(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="backslashreplace")
