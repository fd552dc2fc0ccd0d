import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from store.contract import CorruptState
from telemetry.logging import HIDDEN, configure, pseudonym

KEY = b"a key of the deployment"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_user_id_is_logged_as_a_pseudonym_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure(style="json", level="info", key=KEY)
    structlog.get_logger("test").info("record migrated", user="alice-4711", users=["bob-1", "carol-2"])
    text = capsys.readouterr().err
    assert "alice" not in text
    assert "bob" not in text
    line = json.loads(text)
    assert line["user"] == pseudonym("alice-4711", KEY)
    assert line["users"] == [pseudonym("bob-1", KEY), pseudonym("carol-2", KEY)]


def test_a_pseudonym_needs_the_key() -> None:
    assert pseudonym("alice", KEY) == pseudonym("alice", KEY)
    assert pseudonym("alice", KEY) != pseudonym("alice", b"another key")
    assert pseudonym("alice", KEY) != pseudonym("bob", KEY)
    assert len(pseudonym("alice", b"x" * 500)) == 12


def test_secrets_are_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure(style="json", level="info", key=KEY)
    structlog.get_logger("test").warning("login refused", redis_password="hunter2", hmac_key="hunter3")  # noqa: S106
    assert all(line["redis_password"] == line["hmac_key"] == HIDDEN for line in _logged(capsys))


def test_logs_of_libraries_come_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure(style="json", level="warning", key=KEY)
    logging.getLogger("aiokafka").warning("node %d is away", 3)
    logging.getLogger("aiokafka").info("not written")
    (line,) = _logged(capsys)
    assert (line["event"], line["logger"], line["level"]) == ("node 3 is away", "aiokafka", "warning")


def test_the_user_whom_an_exception_is_about_is_told_by_a_pseudonym(capsys: pytest.CaptureFixture[str]) -> None:
    configure(style="json", level="info", key=KEY)
    error = CorruptState("record of a user: damaged", user="alice-4711")
    logging.getLogger("agents.monitor").critical("the worker stops: %s", error, exc_info=error)
    structlog.get_logger("agents").error("it stops", exc_info=error)
    text = capsys.readouterr().err
    assert "alice" not in text
    assert [json.loads(line)["user"] for line in text.splitlines()] == [pseudonym("alice-4711", KEY)] * 2
    assert "damaged" in text


def test_an_exception_is_written_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure(style="json", level="info", key=KEY)
    try:
        raise RuntimeError("out of range")
    except RuntimeError:
        logging.getLogger("agents").exception("stopped")
    (line,) = _logged(capsys)
    assert "out of range" in str(line["exception"])
