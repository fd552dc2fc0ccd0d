"""Every feature, in the order of the columns: the one place that names them.

Record features come first (the kernel fills them), then what the policy decided, then scores. Windows are made of
tiles: 1 h of ten minutes, 24 h of two hours, 7 d and 30 d of UTC days, 90 d of ten days. A window covers the current,
partial tile and the ones before it, so it is up to one tile shorter than its name says.
"""

from features.definitions_account import ACCOUNT
from features.definitions_credit import CREDIT
from features.definitions_spending import EVENT_FACTS, SPENDING
from features.feature import Feature
from messages.vocabulary import Kind

_STANDING_KINDS = tuple(Kind)

_STANDING = tuple(
    Feature(name, "now", unit, default, _STANDING_KINDS, meaning, "standing")
    for name, unit, default, meaning in (
        ("limit", "minor units", 0.0, "Credit limit in force."),
        ("limit_known", "flag", 0.0, "1 where a limit is known."),
        ("starting_limit", "minor units", 0.0, "First limit of the account; 0 where none is known."),
        ("utilisation", "ratio", 1.0, "Owed / limit; 1 where something is owed and no limit is known or it is 0."),
        ("available_limit", "minor units", 0.0, "Limit less what is owed, at least 0; 0 while frozen."),
        (
            "over_limit_ratio",
            "ratio",
            0.0,
            "(Owed, with this event's purchase in it) / limit, as far as it is above 1.",
        ),
        (
            "limit_headroom_for_event",
            "minor units",
            0.0,
            "Limit less what was owed before this event, less its amount.",
        ),
        ("grade", "index", 0.0, "0: none yet, 1: A, 2: B, 3: C."),
        ("frozen", "flag", 0.0, "1 while the limit is frozen."),
        ("days_since_limit_change", "days", 3650.0, "Days since the limit last changed; 3650 where it never did."),
        ("limit_to_income", "ratio", 0.0, "Limit / estimated monthly income; 0 where that is unknown."),
    )
)

_SCORES = tuple(
    Feature(name, "now", "probability", default, _STANDING_KINDS, meaning, "score")
    for name, default, meaning in (
        ("default_probability", 0.5, "Chance of going past due by the policy's default days within its horizon."),
        ("spending_anomaly", 0.5, "How unusual this event's spending is, 0 to 1."),
        ("warming", 1.0, "1 while the model has seen too few labels and the scorecard decides."),
    )
)

#: What the kernel fills.
RECORD_FEATURES: tuple[Feature, ...] = (*EVENT_FACTS, *SPENDING, *CREDIT, *ACCOUNT)

FEATURES: tuple[Feature, ...] = (*RECORD_FEATURES, *_STANDING, *_SCORES)
INDEX: dict[str, int] = {feature.name: column for column, feature in enumerate(FEATURES)}
WIDTH = len(FEATURES)
