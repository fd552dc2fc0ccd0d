"""The stream of the standard job: seeded purchases, a few of them far beyond the user's habit."""

from collections.abc import Iterator

import numpy as np

from benchmarks.standard.job import Purchase

SEED = 20_260_101
BEGIN = 1_767_225_600  # 2026-01-01 UTC
#: Events per second of event time.
RATE = 2
MERCHANTS = 2_000
#: Share of purchases that are outliers, and how many times the usual amount those are.
OUTLIERS, FACTOR = 0.002, 12.0


def purchases(count: int, users: int, seed: int = SEED) -> Iterator[Purchase]:
    """`count` purchases of so many users in order of time: the same ones for the same arguments.

    Users are drawn evenly, which is the worst case for every cache. Amounts have two decimals and are log-normal about
    the user's own level. A shorter stream is the beginning of a longer one.
    """
    levels = np.random.default_rng(seed).lognormal(4.0, 0.7, users)
    chunk = 10_000  # drawn at once, so that a longer stream begins like a shorter one
    for first in range(0, count, chunk):
        rng = np.random.default_rng((seed, first))
        drawn = rng.integers(0, users, chunk)
        usual = levels[drawn] * rng.lognormal(0.0, 0.35, chunk)
        amounts = np.where(rng.random(chunk) < OUTLIERS, usual * FACTOR, usual)
        cents = np.maximum(1, np.rint(amounts * 100.0)).astype(np.int64)
        rows = zip(drawn.tolist(), cents.tolist(), rng.integers(0, MERCHANTS, chunk).tolist(), strict=True)
        for number, (user, amount, merchant) in enumerate(rows, first):
            if number == count:
                return
            yield Purchase(f"e-{number}", f"u-{user}", amount / 100.0, f"m-{merchant}", BEGIN + number // RATE)
