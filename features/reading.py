"""Reading all record features of a record at a time."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.applying import clear_facts
from features.catalogue import FEATURES, WIDTH
from features.fund import read_fund
from features.ledger import SCRATCH, settle
from features.market import Market
from features.reading_account import market_index, read_behaviour, read_profile
from features.reading_credit import read_ability, read_bills, read_due, read_owed, read_punctuality, read_repayments
from features.reading_spending import read_history, read_mix, read_pace, read_shares, read_variety, read_windows
from features.record import RECORD
from features.terms import Terms
from messages.compiled import Row, Rows, compiled, joint, signed

#: One row of the feature matrix with a name for every column, as the kernels write it.
FEATURE_ROW = np.dtype([(feature.name, "f8") for feature in FEATURES])


@joint
def read_record(
    r: Annotated[Any, Row(RECORD)], s: Annotated[Any, Row(SCRATCH)], f: Annotated[Any, Row(FEATURE_ROW)], t: int
) -> None:
    """Fill the record features of row `f` for record `r` at `t` (s, not before its newest event); `s` is settled.

    All but the market's: see `market_index`.
    """
    read_windows(r, f, t)
    read_pace(r, f, t)
    read_history(r, f)
    read_variety(r, f, t)
    read_shares(r, f, t)
    read_mix(r, f, t, s)
    read_owed(r, s, f, t)
    read_due(r, s, f, t)
    read_punctuality(r, s, f, t)
    read_bills(r, f)
    read_repayments(r, f, t)
    read_ability(r, f)
    read_fund(r, f, t)
    read_profile(r, f, t)
    read_behaviour(r, f, t)


@compiled
def _read_all(
    records: Annotated[Any, Rows(RECORD)],
    times: Annotated[Any, Rows(np.int64)],
    scratch: Annotated[Any, Rows(SCRATCH)],
    rows: Annotated[Any, Rows(FEATURE_ROW)],
    regions: Annotated[Any, Rows(np.uint64)],
    indices: Annotated[Any, Rows(np.float64)],
) -> None:
    s = scratch[0]
    for u in range(len(records)):
        r, f = records[u], rows[u]
        clear_facts(f)
        settle(r, s)
        read_record(r, s, f, max(times[u], signed(r.last_seen)))
        f.market_index = market_index(r, regions, indices)


def named(features: NDArray[np.float64]) -> NDArray[np.void]:
    """The matrix f8[m, WIDTH] seen as FEATURE_ROW[m], without a copy."""
    return features.view(FEATURE_ROW)[:, 0]


def read(records: NDArray[np.void], times: NDArray[np.int64], terms: Terms, market: Market) -> NDArray[np.float64]:
    """Features of RECORD[u] at `times` (s, i8[u]), as f8[u, WIDTH]; changes nothing.

    A time before the newest event of a record counts as the time of that event. Event facts have their defaults;
    standing and score columns are 0. `terms` is taken for symmetry with `advance`: reading depends on none of them yet.
    """
    features = np.zeros((len(records), WIDTH))
    _read_all(records, np.asarray(times, np.int64), np.zeros(1, SCRATCH), named(features), *market.arrays)
    return features
