from benchmarks import book
from benchmarks.deciding import Work, decoded, timed
from policy.policy import load_default


def test_every_stage_of_deciding_is_timed() -> None:
    work = Work(load_default())
    with timed() as seconds:
        for events in decoded(list(book.opening(50)), 200):
            work.off(events)
    assert set(seconds) == {"advance_each", "seal", "decide"}
    assert all(spent > 0 for spent in seconds.values())
