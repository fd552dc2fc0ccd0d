"""Commits that the tests of the Redis store make."""

from store.contract import Commit, Header, TopicPosition


def commit(number: int) -> Commit:
    return Commit(
        Header(commits=number),
        {"purchases": TopicPosition(number)},
        {"u": b"%d" % number, f"u{number}": b"x"},
        timers={"u": number},
    )
