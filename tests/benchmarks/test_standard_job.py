import asyncio
import re
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.standard import columns, job
from benchmarks.standard.engines import kafka_streams, ours, plain
from benchmarks.standard.events import purchases
from benchmarks.standard.task import Stopwatch
from messages.blobs import Blobs
from messages.columns import Events, Source
from messages.message import Message
from messages.records import RawRecords, Slices

STREAM = list(purchases(4_000, 40))


RECORDS = RawRecords(
    [msgspec.json.encode(event) for event in STREAM],
    [event.user_id.encode() for event in STREAM],
    np.arange(len(STREAM)),
    np.zeros(len(STREAM), np.int64),
)
DECODER = ours.Decoder(Stopwatch(1))


def in_one_buffer(records: RawRecords) -> RawRecords:
    """The same as a fetch brings them."""
    values = Blobs.of([value or b"" for value in records.values])
    lengths = np.diff(values.ends, prepend=0)
    slices = Slices(values.buffer.tobytes(), values.ends - lengths, lengths)
    return RawRecords(slices, records.keys, records.offsets, records.timestamps)


def test_the_scanner_reads_a_purchase_as_msgspec_does() -> None:
    (source,) = {Source("purchases", 0)}
    one, other = DECODER._plain(source, in_one_buffer(RECORDS)), DECODER._any(source, RECORDS)
    assert one is not None
    assert list(one.users) == list(other.users)
    assert list(one.ids) == list(other.ids)
    for name in ("merchant", "time", "amount"):
        assert one.columns[name].tolist() == other.columns[name].tolist()


@pytest.mark.parametrize(
    "value",
    [
        b'{"event_id":"e","user_id":"u","amount":1e-5,"merchant":"m","ts":5}',
        b'{"event_id":"e","user_id":"u","amount":1.5,"merchant":"m","amount":5}',
        b'{"event_id":"e","user_id":"u","amount":1.5,"merchant":"m\\n","ts":5}',
        b'{"event_id":"e","user_id":"u","amount":1.5,"merchant":"m","ts":5,"more":1}',
        b'{"event_id":"e","user_id":"u","amount":1.5,"merchant":"m"}',
        b'{"event_id":"e" ,"user_id":"u","amount":1.5,"merchant":"m","ts":5}',
        b"{}",
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_msgspec(value: bytes) -> None:
    records = RawRecords([value], [b"u"], np.zeros(1, np.int64), np.zeros(1, np.int64))
    assert DECODER._plain(Source("purchases", 0), in_one_buffer(records)) is None


def per_event() -> NDArray[np.float64]:
    users: dict[str, dict[str, object]] = {}
    return np.array([job.advance(users.setdefault(event.user_id, job.new_user()), event) for event in STREAM])


def decided_by_ours(cut: int) -> list[Message]:
    """What our worker's parts publish when the stream is cut into batches of so many events."""
    row_of: dict[str, int] = {}
    records, watermark, decisions = np.zeros(40, columns.RECORD), 0, list[Message]()
    for start in range(0, len(RECORDS), cut):
        events = DECODER.decode(Source("purchases", 0), RECORDS.slice(start, start + cut)).events
        events.columns["row"] = [row_of.setdefault(user, len(row_of)) for user in events.users]
        outcome = ours.decide("warnings", records, events, list(row_of), watermark)
        watermark = outcome.watermark
        decisions += outcome.decisions
    return decisions


def test_the_stream_is_the_same_each_time_and_a_shorter_one_is_its_beginning() -> None:
    assert list(purchases(4_000, 40)) == STREAM
    assert list(purchases(100, 40)) == STREAM[:100]
    assert list(purchases(100, 40, seed=1)) != STREAM[:100]


def test_the_stream_goes_on_in_the_same_way_beyond_what_is_drawn_at_once() -> None:
    longer = list(islice(purchases(30_000, 7), 15_000))
    assert longer == list(purchases(15_000, 7))
    assert [event.event_id for event in longer[9_999:10_001]] == ["e-9999", "e-10000"]


def test_there_are_outliers_and_most_amounts_are_none() -> None:
    assert 10 < len(job.expected_warnings(STREAM)) < 100


def test_the_compiled_columns_make_the_features_of_the_job_as_written_for_one_event() -> None:
    events = DECODER.decode(Source("purchases", 0), RECORDS).events.columns
    events["row"] = np.unique([event.user_id for event in STREAM], return_inverse=True)[1]
    (found, scores), wanted = columns.advance(np.zeros(40, columns.RECORD), events), per_event()
    assert found[:, 0].tolist() == wanted[:, 0].tolist()  # to the last bit: it decides
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_allclose(scores, [job.score(row) for row in wanted.tolist()], rtol=1e-6)


@pytest.mark.parametrize("cut", [1, 7, 4_000])
def test_our_parts_warn_of_exactly_what_is_to_be_warned_of_however_the_stream_is_cut(cut: int) -> None:
    warned = [msgspec.json.decode(message.value, type=job.Warned) for message in decided_by_ours(cut)]
    assert {one.event_id: one.user_id for one in warned} == job.expected_warnings(STREAM)
    assert len(warned) == len(job.expected_warnings(STREAM))


def test_where_a_batch_is_cut_does_not_show_in_the_bytes() -> None:
    assert decided_by_ours(1) == decided_by_ours(7) == decided_by_ours(4_000)


class FakeStore:
    """What the plain loop needs of Redis."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def mget(self, names: list[str]) -> list[bytes | None]:
        return list(map(self.kept.get, names))

    async def mset(self, values: dict[str, bytes]) -> None:
        self.kept.update(values)


def test_users_that_go_through_json_and_back_raise_the_same_warnings() -> None:
    async def run() -> list[tuple[str, bytes]]:
        store, values = FakeStore(), [value or b"" for value in RECORDS.values]
        return [
            found for start in range(0, 4_000, 300) for found in await plain.decide(store, values[start : start + 300])
        ]

    warned = {msgspec.json.decode(body, type=job.Warned).event_id: user for user, body in asyncio.run(run())}
    assert warned == job.expected_warnings(STREAM)


def test_java_has_the_same_weights() -> None:
    source = (Path(kafka_streams.__file__).parent / "StandardJob.java").read_text()
    listed = re.search(r"WEIGHTS = \{([^}]*)\}", source)
    assert listed is not None
    assert [float(weight) for weight in listed[1].split(",")] == list(job.WEIGHTS.values())


def test_a_record_is_read_back_as_it_was_stored() -> None:
    records = np.zeros(3, columns.RECORD)
    records["mean"], records["totals"] = [1.5, 2.5, 3.5], 7
    stored = columns.pack(records, np.arange(3, dtype=np.uint32))
    read = np.zeros(4, columns.RECORD)
    columns.unpack([stored[0], None, stored[1], stored[2]], read)
    assert read[[0, 2, 3]].tobytes() == records.tobytes()
    assert not any(read[1].tobytes())


def test_the_stopwatch_tells_begin_and_end_once(capsys: pytest.CaptureFixture[str]) -> None:
    stopwatch = Stopwatch(10)
    stopwatch.begin()
    stopwatch.begin()
    assert not stopwatch.finished(9)
    assert stopwatch.finished(3)
    stopwatch.finished(1)
    begin, end = capsys.readouterr().out.split("\n\n")
    assert begin.strip() == "standard-job begin"
    assert re.fullmatch(r"standard-job end \d+\.\d+ 12", end.strip())


def test_pieces_of_two_hand_overs_are_joined_in_the_layout_of_the_job() -> None:
    pieces = [DECODER.decode(Source("purchases", 0), RECORDS.slice(*cut)).events for cut in ((0, 3), (3, 9))]
    whole = DECODER.decode(Source("purchases", 0), RECORDS.slice(0, 9)).events
    joined = Events.concatenate(pieces).columns
    for name in ("time", "amount", "merchant"):
        assert joined[name].tolist() == whole.columns[name].tolist()
