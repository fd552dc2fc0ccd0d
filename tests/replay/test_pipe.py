import io

import numpy as np
import pytest

from messages.columns import EVENT
from replay.pipe import Cut, receive, send


def _file(*messages: object) -> bytes:
    file = io.BytesIO()
    for message in messages:
        send(file, message)
    return file.getvalue()


def test_messages_arrive_as_they_were_sent_one_after_the_other() -> None:
    rows = np.zeros(3, EVENT)
    rows["time"] = [1, 2, 3]
    file = io.BytesIO(_file((rows, ["a"]), None, np.zeros((2, 0))))
    received, names = receive(file)
    assert received.dtype == EVENT
    assert received.tobytes() == rows.tobytes()
    assert names == ["a"]
    assert receive(file) is None
    assert receive(file).shape == (2, 0)


def test_arrays_can_be_changed_where_they_arrive() -> None:
    received = receive(io.BytesIO(_file(np.arange(3))))
    received[0] = 7
    assert received.tolist() == [7, 1, 2]


def test_arrays_are_sent_once_and_as_they_lie_in_memory() -> None:
    rows = np.arange(100_000)
    assert rows.tobytes() in _file(rows)
    assert len(_file(rows)) < rows.nbytes + 1_000


def test_a_message_that_is_cut_off_anywhere_is_known_as_such() -> None:
    whole = _file(np.arange(5))
    for length in range(len(whole)):
        with pytest.raises(Cut):
            receive(io.BytesIO(whole[:length]))
