"""Which field of which event goes to which column of `EVENT`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from messages import columns as c
from messages.hashing import HashCache, hash_column
from messages.money import Money
from messages.structs import Columns
from messages.vocabulary import CATEGORIES, FUND_STATUSES, PAYMENT_METHODS, VERDICTS, Kind

#: By tag: (column of EVENT, field) pairs, by how the values are brought into the column.
HASHED: dict[str, tuple[tuple[str, str], ...]] = {
    "purchase": (("merchant", "merchant_id"), ("device", "device_id"), ("city", "city")),
    "refund": (("merchant", "merchant_id"),),
    "repayment": (("bill", "bill_id"),),
    "failed_debit": (("bill", "bill_id"),),
    "reversal": (("bill", "bill_id"),),
    "bill_issued": (("bill", "bill_id"),),
    "bill_rescheduled": (("bill", "bill_id"),),
    "provident_fund": (("employer", "employer_id"), ("city", "city")),
    "account_opened": (("region", "region"),),
    "profile_changed": (("region", "region"),),
    "browse": (("device", "device_id"),),
    "login": (("device", "device_id"), ("city", "city")),
}
AMOUNTS: dict[str, tuple[tuple[str, str], ...]] = {
    "purchase": (("amount", "amount"),),
    "refund": (("amount", "amount"),),
    "repayment": (("amount", "amount"),),
    "failed_debit": (("amount", "amount"),),
    "reversal": (("amount", "amount"),),
    "bill_issued": (("amount", "amount_due"), ("minimum", "minimum_due")),
    "provident_fund": (("amount", "monthly_amount"),),
    "account_opened": (("amount", "limit"), ("income", "monthly_income")),
    "profile_changed": (("income", "monthly_income"),),
    "limit_request": (("amount", "requested_limit"),),
    "fraud_confirmed": (("amount", "amount"),),
}
NUMBERS: dict[str, tuple[tuple[str, str], ...]] = {
    "purchase": (("instalments", "instalments"),),
    "provident_fund": (("months", "months_contributed"),),
}
TIMES: dict[str, tuple[tuple[str, str], ...]] = {
    "bill_issued": (("until", "due_time"),),
    "bill_rescheduled": (("until", "due_time"),),
    "hardship_pause": (("until", "until"),),
}
WORDS: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "purchase": (("category", "category", CATEGORIES),),
    "browse": (("category", "category", CATEGORIES),),
    "repayment": (("method", "method", PAYMENT_METHODS),),
    "provident_fund": (("status", "status", FUND_STATUSES),),
    "warning_feedback": (("status", "verdict", VERDICTS),),
}
FLAGS: dict[str, tuple[tuple[int, str], ...]] = {
    "purchase": ((c.FLAG_GREEN, "green"), (c.FLAG_ENERGY_INTENSIVE, "energy_intensive")),
    "bill_issued": ((c.FLAG_CARRIES_BALANCE, "carries_balance"),),
    "account_opened": (
        (c.FLAG_CONSENTS_TO_INCREASES, "consents_to_increases"),
        (c.FLAG_CONSENTS_TO_AUTOMATION, "consents_to_automated_decisions"),
    ),
    "profile_changed": (
        (c.FLAG_CONSENTS_TO_INCREASES, "consents_to_increases"),
        (c.FLAG_CONSENTS_TO_AUTOMATION, "consents_to_automated_decisions"),
    ),
    "login": ((c.FLAG_SUCCEEDED, "succeeded"),),
    "fraud_confirmed": ((c.FLAG_CHARGE_BACK, "charge_back"),),
}
_PROFILE_PRESENCE = (
    (c.PRESENT_INCOME, "monthly_income"),
    (c.PRESENT_REGION, "region"),
    (c.PRESENT_CONSENT_TO_INCREASES, "consents_to_increases"),
    (c.PRESENT_CONSENT_TO_AUTOMATION, "consents_to_automated_decisions"),
)
PRESENCE: dict[str, tuple[tuple[int, str], ...]] = {
    "account_opened": _PROFILE_PRESENCE,
    "profile_changed": _PROFILE_PRESENCE,
}
REFERENCES: dict[str, str] = {
    "repayment": "bill_id",
    "failed_debit": "bill_id",
    "reversal": "bill_id",
    "bill_issued": "bill_id",
    "bill_rescheduled": "bill_id",
    "limit_request": "request_id",
    "warning_feedback": "warning_id",
}
KINDS: dict[str, int] = {kind.name.lower(): int(kind) for kind in Kind if kind is not Kind.TICK}
_INDEX: dict[tuple[str, ...], dict[str, int]] = {
    words: {word: index for index, word in enumerate(words)}
    for words in (CATEGORIES, PAYMENT_METHODS, FUND_STATUSES, VERDICTS)
}


def fill(tag: str, values: Columns, money: Money, hashes: HashCache) -> NDArray[np.void]:
    """EVENT[n] of n events of one kind, from their fields.

    An amount whose currency has no rate becomes -1.
    """
    count = len(values["user_id"])
    rows = np.zeros(count, c.EVENT)
    rows["kind"] = KINDS[tag]
    rows["time"] = np.array(values["time"], np.int64) // 1000
    rows["event"] = hash_column(values["event_id"])
    for column, name in HASHED.get(tag, ()):
        rows[column] = np.fromiter(map(hashes.__getitem__, values[name]), np.uint64, count)
    for column, name in AMOUNTS.get(tag, ()):
        amounts = np.array(_without_none(values[name]), np.int64)
        rows[column] = money.convert_column(amounts, values["currency"])
    for column, name in NUMBERS.get(tag, ()):
        rows[column] = values[name]
    for column, name in TIMES.get(tag, ()):
        rows[column] = np.array(values[name], np.int64) // 1000
    for column, name, words in WORDS.get(tag, ()):
        rows[column] = np.fromiter(map(_INDEX[words].__getitem__, values[name]), np.uint8, count)
    for flag, name in FLAGS.get(tag, ()):
        if True in values[name]:
            rows["flags"] |= np.array([value is True for value in values[name]]).astype(np.uint8) * np.uint8(flag)
    for bit, name in PRESENCE.get(tag, ()):
        rows["present"] |= np.array([value is not None for value in values[name]]).astype(np.uint8) * np.uint8(bit)
    return rows


def references(tag: str, values: Columns) -> list[str]:
    """The raw id that a reply to each event has to name, "" for none."""
    name = REFERENCES.get(tag)
    return [""] * len(values["user_id"]) if name is None else [reference or "" for reference in values[name]]


def _without_none(values: Sequence[Any]) -> Sequence[int]:
    return [value or 0 for value in values] if None in values else values
