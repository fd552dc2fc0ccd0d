import gzip
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import application
from messages.decoding import Decoder
from messages.money import Money
from replay import ahead
from replay.ahead import Ahead, ReaderLost, batches, worth_it
from replay.engine import replay
from replay.files import UnreadableFile
from replay.pipe import receive, send
from replay.preparer import Task, work
from replay.preparing import Prepared, prepared
from replay.report import Tally
from tests.replay.book import Collected, book_lines, engine

LINES = book_lines()
MONEY = Money()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The small book in three files, one of them compressed, the last one empty."""
    where, third = tmp_path_factory.mktemp("book"), len(LINES) // 3
    files = [where / "first.jsonl", where / "second.ndjson.gz", where / "third.jsonl"]
    files[0].write_bytes(b"\n".join(LINES[:third]))
    files[1].write_bytes(gzip.compress(b"\n".join(LINES[third:])))
    files[2].write_bytes(b"")
    return files


def _many(book: list[Path]) -> list[Path]:
    """So many rows that a pipe cannot hold the batches of one row each."""
    return book[:1] * 30


def _replayed(files: Sequence[Path], size: int, *, apart: bool, learning: bool = True) -> tuple[bytes, Tally]:
    sink = Collected()
    with batches(files, MONEY, size, ahead=apart) as taken:
        tally = replay(engine(sink, learning=learning), taken)
    return sink.everything(), tally


@pytest.mark.parametrize("size", [7, 8_000])
@pytest.mark.parametrize("learning", [True, False])
def test_two_processes_give_the_same_bytes_as_one(book: list[Path], size: int, learning: bool) -> None:
    alone, counted = _replayed(book, size, apart=False, learning=learning)
    together, tally = _replayed(book, size, apart=True, learning=learning)
    assert together == alone
    assert tally == counted
    assert tally.accounted
    assert (tally.records, tally.broadcasts, tally.dead_letters.total()) == (len(LINES), 2, 4)


def test_the_command_writes_the_same_files_either_way(book: list[Path], tmp_path: Path) -> None:
    written = []
    for option in ("--read-ahead", "--no-read-ahead"):
        outputs = [tmp_path / f"{option}{name}" for name in (".csv.gz", ".decisions.jsonl", ".letters.jsonl")]
        named = zip(("--scores", "--decisions", "--dead-letters"), map(str, outputs), strict=True)
        given = [text for pair in named for text in pair]
        result = CliRunner().invoke(application, ["replay", *map(str, book), option, "--batch-size", "50", *given])
        assert result.exit_code == 0, result.output
        assert "dead letters 4" in result.stdout
        written.append([output.read_bytes() for output in outputs])
    assert written[0] == written[1]
    assert all(written[0])


def test_batches_say_which_file_they_are_of(book: list[Path]) -> None:
    with batches(book, MONEY, 100, ahead=True) as taken:
        found = [(batch.file, batch.count) for batch in taken]
    assert found == [(batch.file, batch.count) for batch in prepared(book, Decoder(MONEY), 100)]
    assert {file for file, _ in found} == {0, 1}


def _outcome(files: Sequence[Path], *, apart: bool) -> tuple[int, str]:
    """Rows that came, and the error that came after them."""
    came = list[Prepared]()
    with batches(files, MONEY, 100, ahead=apart) as taken, pytest.raises(UnreadableFile) as told:
        came.extend(taken)
    return sum(batch.count for batch in came), str(told.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "events.txt", "damaged.jsonl.gz", "damaged.parquet"])
def test_a_file_that_cannot_be_read_is_told_in_the_same_words(book: list[Path], tmp_path: Path, name: str) -> None:
    bad = tmp_path / name
    if name == "damaged.jsonl.gz":
        bad.write_bytes(gzip.compress(b"\n".join(LINES))[:-20])
    elif name != "missing.jsonl":
        bad.write_bytes(b"PAR1 not really PAR1")
    files = [book[0], bad]
    rows, error = _outcome(files, apart=True)
    assert (rows, error) == _outcome(files, apart=False)
    assert name in error
    assert rows >= len(LINES) // 3


def test_a_file_is_named_as_it_was_given(book: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(book[0].parent)
    with batches([Path("first.jsonl"), Path("nowhere.jsonl")], MONEY, 100, ahead=True) as taken:
        assert next(taken).count == 100
        with pytest.raises(UnreadableFile, match=r"^nowhere\.jsonl: "):
            list(taken)


def test_nothing_comes_after_the_last_batch_or_the_error(book: list[Path], tmp_path: Path) -> None:
    for files, error in ((book, None), ([tmp_path / "missing.jsonl"], UnreadableFile)):
        with closing(Ahead(files, MONEY, 8_000)) as started:
            if error is None:
                assert len(list(started)) == 2
            else:
                with pytest.raises(error):
                    next(started)
            assert list(started) == []


def test_a_killed_process_is_told_of_and_what_it_sent_is_worked_off(book: list[Path]) -> None:
    with closing(Ahead(_many(book), MONEY, 1)) as started:
        assert next(started).count == 1
        started.process.send_signal(signal.SIGKILL)
        came = list[Prepared]()
        with pytest.raises(ReaderLost, match="was ended by SIGKILL before it was through; --no-read-ahead"):
            came.extend(started)
        assert [batch.count for batch in came] == [1] * len(came)


def test_a_process_that_cannot_even_begin_is_told_of(book: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_PROGRAM", "replay.nothing")
    with closing(Ahead(book, MONEY, 100)) as started, pytest.raises(ReaderLost, match="ended with code 1 before"):
        next(started)


def test_the_command_says_that_the_process_was_lost(book: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_PROGRAM", "replay.nothing")
    result = CliRunner().invoke(application, ["replay", str(book[0]), "--read-ahead", "--no-learn"])
    assert result.exit_code == 1
    assert "the process that reads ahead ended with code 1" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_replay_leaves_no_process_behind(book: list[Path], error: type[BaseException]) -> None:
    started = None
    with suppress(error), batches(_many(book), MONEY, 1, ahead=True) as taken:
        assert isinstance(taken, Ahead)
        started = taken.process
        next(taken)
        raise error
    assert started is not None
    assert started.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(started.pid, 0)


def test_an_interrupt_from_the_keyboard_does_not_reach_the_process(book: list[Path]) -> None:
    with closing(Ahead(book, MONEY, 1)) as started:
        assert os.getsid(started.process.pid) == started.process.pid != os.getsid(0)


@pytest.mark.parametrize("told", [True, False])
def test_a_process_that_nobody_listens_to_ends_without_a_word(book: list[Path], told: bool) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", "replay.preparer"], stdin=pipe, stdout=pipe, stderr=pipe) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        assert started.stderr is not None
        if told:
            send(started.stdin, Task(_many(book), MONEY, 1, Path.cwd()))
            assert receive(started.stdout).count == 1
        started.stdin.close()
        started.stdout.close()
        assert started.stderr.read() == b""
    assert started.returncode == 0


class _Pipe(io.BytesIO):
    """Notes how many batches were prepared whenever something is written."""

    def __init__(self, batches: Iterable[Prepared]) -> None:
        super().__init__()
        self.batches, self.prepared, self.sent, self.seen = batches, 0, 0, list[int]()

    def all_batches(self, *_: object) -> Iterator[Prepared]:
        for batch in self.batches:
            self.prepared += 1
            yield batch

    def write(self, data: object) -> int:
        self.seen.append(self.prepared - self.sent)
        return 0

    def flush(self) -> None:
        self.sent += 1


def test_a_batch_is_prepared_only_when_the_one_before_was_sent(
    book: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = _Pipe(prepared(book, Decoder(MONEY), 50))
    monkeypatch.setattr("replay.preparer.prepared", pipe.all_batches)
    work(Task(book, MONEY, 50, Path.cwd()), pipe)
    assert pipe.prepared > 5
    assert set(pipe.seen[:-2]) == {1}
    assert pipe.sent == pipe.prepared + 1


@pytest.mark.parametrize(
    ("name", "size", "processors", "expected"),
    [
        ("large.jsonl", 20_000_000, 2, True),
        ("large.jsonl", 20_000_000, 1, False),
        ("small.jsonl", 2_000_000, 2, False),
        ("packed.csv.gz", 2_000_000, 2, True),
        ("missing.jsonl", None, 2, False),
    ],
)
def test_another_process_is_started_for_many_rows_and_two_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int | None, processors: int, expected: bool
) -> None:
    monkeypatch.setattr(ahead, "_processors", lambda: processors)
    path = tmp_path / name
    if size is not None:
        with path.open("wb") as file:
            file.truncate(size)
    assert worth_it([path]) is expected


def test_small_inputs_stay_in_one_process(book: list[Path]) -> None:
    with batches(book, MONEY, 8_000) as taken:
        assert not isinstance(taken, Ahead)
