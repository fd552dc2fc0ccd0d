"""What it costs to make bytes of a record for the store, and a record of bytes: `python -m benchmarks.packing`.

The records are those of 5,000 users who have lived a little (`benchmarks.book`), in batches without an order, as a
worker has them. Processor time of the best round counts.
"""

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np

from app.kernels import DECIDING
from benchmarks import book
from benchmarks.deciding import USERS, Work, decoded
from benchmarks.decoding import best
from features.kernel import compile_kernels
from features.packing import pack_rows, unpack
from features.record import RECORD
from policy.policy import load_default


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each size of a batch; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.packing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 2_000], help="records of a batch")
    parser.add_argument("--events", type=int, default=80_000, help="that the users have lived through")
    given = parser.parse_args(argv)
    compile_kernels(*DECIDING)
    work = Work(load_default())
    for published in (book.opening(USERS), book.life(USERS, given.events)):
        for events in decoded(list(published), 8_000):
            work.off(events)
    records = work.book.records
    print(f"{'records':>9}{'bytes a record':>16}{'packed':>10}{'unpacked':>10} us a record")
    for size in given.sizes:
        rows = np.random.default_rng(0).permutation(len(records))[:size].astype(np.uint32)
        packed, place = pack_rows(records, rows).tolist(), np.zeros(len(rows), RECORD)
        there, back = best(partial(pack_rows, records, rows), partial(unpack, packed, place))
        each = 1e6 / len(rows)
        print(f"{len(rows):>9,}{np.mean([*map(len, packed)]):>16,.0f}{there * each:>10.2f}{back * each:>10.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
