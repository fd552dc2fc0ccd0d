"""What a training example holds: the features that the scorecard judges, and those that a learned model adds.

Names only, so that an example scored by the scorecard trains the model that replaces it.
"""

from messages.hashing import stable_hash

#: Features that the scorecard reads.
JUDGED: tuple[str, ...] = (
    "missed_bills_recent",
    "last_bill_late_days",
    "judged_bills",
    "days_past_due",
    "days_since_repayment",
    "repaid_90d",
    "days_since_purchase",
    "failed_debits_90d",
    "owed",
    "limit",
    "starting_limit",
    "limit_known",
    "debt_to_income",
    "fund_status",
    "cash_like_share_90d",
    "gambling_share_90d",
    "account_age_days",
    "market_index",
)

#: Rare adverse signs whose weight differs from book to book: learned from labels, beside the scorecard's rough opinion.
#: Each is clipped to its range. None of them grows with the age of an account or tells how the user repays: the former
#: would be taken for the level of the months in which the labels matured, the latter for the book's minimum rule.
LEARNED: dict[str, tuple[float, float]] = {
    "failed_debits_90d": (0, 3),
    "fund_interruptions_365d": (0, 3),
    "cash_like_share_90d": (0, 0.5),
    "gift_card_share_90d": (0, 0.5),
    "gambling_share_90d": (0, 0.3),
    "failed_logins_30d": (0, 5),
    "risky_browse_share_30d": (0, 0.5),
}

INPUTS: tuple[str, ...] = (*JUDGED, *(name for name in LEARNED if name not in JUDGED))
POSITIONS: dict[str, int] = {name: position for position, name in enumerate(INPUTS)}


def schema_hash(names: tuple[str, ...]) -> int:
    """32-bit hash of the names in their order, never 0."""
    return stable_hash("\n".join(names)) & 0xFFFF_FFFF or 1


SCHEMA_HASH = schema_hash(INPUTS)
