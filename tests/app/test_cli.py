import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import application
from tests.replay.book import book_lines

RUNNER = CliRunner()
COMMANDS = [
    "demo", "worker", "trainer", "send", "tail", "inspect", "replay", "sample", "settings", "topics create",
    "topics check", "policy check", "contracts export", "dead-letters list", "dead-letters replay",
    "position show", "position reset", "outbox show", "doctor", "repartition",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.jsonl"
    path.write_bytes(b"\n".join(book_lines(4)))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(command: str) -> None:
    result = RUNNER.invoke(application, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"duewatch {command}" in result.stdout.partition("Usage")[2].partition("\n")[2], result.stdout


def test_settings_are_listed_with_their_meaning() -> None:
    result = RUNNER.invoke(application, ["settings"])
    assert result.exit_code == 0
    assert "DUEWATCH_KAFKA_BOOTSTRAP" in result.stdout
    assert "DUEWATCH_REDIS_PASSWORD_FILE" in result.stdout


def test_a_wrong_environment_is_one_message_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWATCH_PARTITIONS", "sixteen")
    result = RUNNER.invoke(application, ["settings", "--check"])
    assert result.exit_code == 1
    assert "DUEWATCH_PARTITIONS: Input should be a valid integer" in result.stderr
    assert "Traceback" not in result.output


def test_replay_writes_scores_decisions_and_dead_letters(book: Path, tmp_path: Path) -> None:
    outputs = {name: tmp_path / name for name in ("scores.csv", "decisions.jsonl", "letters.jsonl")}
    options = zip(("--scores", "--decisions", "--dead-letters"), map(str, outputs.values()), strict=True)
    arguments = [text for option in options for text in option]
    result = RUNNER.invoke(application, ["replay", str(book), *arguments])
    assert result.exit_code == 0, result.output
    assert "dead letters 4" in result.stdout
    scores = outputs["scores.csv"].read_text().splitlines()
    assert scores[0].replace('"', "").split(",") == [
        "event_id", "user_id", "time", "default_probability", "spending_anomaly", "grade", "limit",
    ]  # fmt: skip
    assert len(scores) > 80
    assert all(json.loads(line)["id"] for line in outputs["decisions.jsonl"].read_text().splitlines())
    assert len(outputs["letters.jsonl"].read_text().splitlines()) == 4


def test_the_same_replay_twice_gives_the_same_bytes_whatever_the_batch_size(book: Path, tmp_path: Path) -> None:
    files = []
    for number, size in enumerate(("8000", "13")):
        scores, decisions = tmp_path / f"{number}.parquet", tmp_path / f"{number}.jsonl"
        options = [
            "--scores",
            str(scores),
            "--decisions",
            str(decisions),
            "--batch-size",
            size,
            "--as-of",
            "2006-06-30",
        ]
        result = RUNNER.invoke(application, ["replay", str(book), *options])
        assert result.exit_code == 0, result.output
        files.append((scores.read_bytes(), decisions.read_bytes()))
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jsonl"], "missing.jsonl"),
        (["BOOK", "--scores", "scores.xlsx"], "must end in one of .csv, .jsonl, .parquet"),
        (["BOOK", "--policy", "POLICY"], "line 1"),
        (["BOOK", "--currency", "XXX"], "currency"),
        (["BOOK", "--currency", "USD"], "the policy's amounts are in CNY, the book is kept in USD"),
    ],
)
def test_replay_says_what_is_wrong(book: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    policy = tmp_path / "broken.yaml"
    policy.write_text("name: [")
    named = [{"BOOK": str(book), "POLICY": str(policy)}.get(argument, argument) for argument in arguments]
    result = RUNNER.invoke(application, ["replay", *named])
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_the_shipped_policy_is_valid() -> None:
    result = RUNNER.invoke(application, ["policy", "check"])
    assert result.exit_code == 0, result.output
    assert "default@" in result.stdout


def test_a_broken_policy_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("name: mine\nunheard_of: 1\n")
    result = RUNNER.invoke(application, ["policy", "check", str(path)])
    assert result.exit_code == 1
    assert "unheard_of" in result.stderr
    assert "line 2" in result.stderr


def test_contracts_are_exported(tmp_path: Path) -> None:
    result = RUNNER.invoke(application, ["contracts", "export", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "asyncapi.yaml").exists()
    assert len(list(tmp_path.glob("*.json"))) > 20


def test_the_public_data_becomes_events(tmp_path: Path) -> None:
    source, target = tmp_path / "clients.csv", tmp_path / "events.jsonl"
    names = ["ID", "LIMIT_BAL", "PAY_0", *(f"PAY_{k}" for k in range(2, 7))]
    names += [f"{kind}{k}" for kind in ("BILL_AMT", "PAY_AMT") for k in range(1, 7)]
    source.write_text(f"{','.join(names)}\n7,{','.join(['1000'] * (len(names) - 1))}\n")
    result = RUNNER.invoke(application, ["sample", str(source), str(target)])
    assert result.exit_code == 0, result.output
    assert {json.loads(line)["user_id"] for line in target.read_text().splitlines()} == {"taiwan-7"}


def test_data_of_another_kind_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "clients.csv"
    source.write_text("a,b\n1,2\n")
    result = RUNNER.invoke(application, ["sample", str(source), str(tmp_path / "events.jsonl")])
    assert result.exit_code == 1
    assert "missing columns" in result.stderr


def test_an_unreachable_broker_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    result = RUNNER.invoke(application, ["topics", "check", "--kafka", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.output
