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
    "failed_debits_90d",
    "owed",
    "limit",
    "starting_limit",
    "limit_known",
    "debt_to_income",
    "fund_status",
    "fund_interruptions_365d",
    "cash_like_share_90d",
    "gambling_share_90d",
    "account_age_days",
    "market_index",
)

#: Features on which the scorecard has no opinion, or a rough one: learned from labels. Each is clipped to its range.
LEARNED: dict[str, tuple[float, float]] = {
    "failed_debits_90d": (0, 4),
    "fund_interruptions_365d": (0, 4),
    "fund_change": (0, 2),
    "cash_like_share_90d": (0, 1),
    "gift_card_share_90d": (0, 1),
    "gambling_share_90d": (0, 1),
    "night_share_90d": (0, 1),
    "category_shift": (0, 1),
    "refund_ratio_90d": (0, 1),
    "new_devices_30d": (0, 3),
    "failed_logins_30d": (0, 5),
    "risky_browse_share_30d": (0, 1),
    "market_index": (0.5, 2),
}

INPUTS: tuple[str, ...] = (*JUDGED, *(name for name in LEARNED if name not in JUDGED))
POSITIONS: dict[str, int] = {name: position for position, name in enumerate(INPUTS)}


def schema_hash(names: tuple[str, ...]) -> int:
    """32-bit hash of the names in their order, never 0."""
    return stable_hash("\n".join(names)) & 0xFFFF_FFFF or 1


SCHEMA_HASH = schema_hash(INPUTS)
