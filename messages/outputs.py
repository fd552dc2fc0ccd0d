"""Contracts of the output topics, version 1.

Every decision has an `id` that is the same however often it is published, so a consumer drops repeats by it. Limits are
absolute values with a version per user: the greater version wins.
"""

from typing import Annotated, Literal

from pydantic import Field

from messages.inputs import Amount, Contract, Identifier, Milliseconds

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[str, ...] = ("low", "medium", "high", "critical")  # index + 1 is the record's warning_severity
Grade = Literal["A", "B", "C"]
GRADES: tuple[str, ...] = ("A", "B", "C")  # index + 1 is the record's grade
#: A sum of many amounts, in minor units of the book's currency; exact also where numbers are doubles.
Total = Annotated[int, Field(ge=0, lt=2**53)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Evidence(Contract):
    """A feature value behind a reason."""

    feature: str
    value: float
    unit: str
    threshold: float | None = None


class Reason(Contract):
    """Why something was decided: a stable code, and the same in words."""

    code: str
    en: str
    zh: str
    evidence: tuple[Evidence, ...] = ()


class Cause(Contract):
    """What the decision answers: an event, or a timer of the user (then `timer` is set and the rest is empty)."""

    event_id: str = ""
    topic: str = ""
    partition: int = 0
    offset: int = 0
    epoch: str = ""
    timer: Milliseconds | None = None


class Decision(Contract):
    """What all decisions share. `time` is event time: the same however late it is worked off."""

    id: str = Field(description="UUID; equal for every publication of the same decision.")
    user_id: Identifier
    time: Milliseconds
    cause: Cause
    policy: str = Field(description="Name and content hash of the policy in force.")
    model: str = Field(description="Version of the model in force.")
    version: Literal[1] = 1


class Warning(Decision):  # noqa: A001 - the field's own word, and never used beside the builtin
    """An early warning is raised once, escalated when it worsens, cleared when it is over."""

    type: Literal["warning"] = "warning"
    status: Literal["raised", "escalated", "cleared"]
    warning_id: str = Field(description="UUID; the same for raised, escalated and cleared of one warning.")
    trigger: str
    severity: Severity
    default_probability: Probability
    spending_anomaly: Probability
    grade: Grade | None
    warming: bool = Field(description="True while the model is untrained and the expert scorecard decides.")
    reasons: tuple[Reason, ...]
    recommended_action: str


class LimitAdjustment(Decision):
    """A limit was set. `new_limit` is absolute; `limit_version` grows by one with each of a user."""

    type: Literal["limit_adjustment"] = "limit_adjustment"
    direction: Literal["opened", "raised", "cut", "frozen", "restored", "closed", "forgotten"] = Field(
        description="forgotten: nothing is kept of the user any more, and copies of the limit have to go."
    )
    previous_limit: Amount
    new_limit: Amount
    limit_version: Annotated[int, Field(ge=1)]
    owed: Total
    grade: Grade | None
    default_probability: Probability
    reasons: tuple[Reason, ...]
    path_back: str = Field(description="What the user can do to get the limit back; empty for a raise.")
    notice_time: Milliseconds
    review_time: Milliseconds


class LimitDecision(Decision):
    """The answer to a limit request."""

    type: Literal["limit_decision"] = "limit_decision"
    request_id: str
    outcome: Literal["approved", "partly_approved", "declined", "review"]
    requested_limit: Amount
    approved_limit: Amount
    limit_version: Annotated[int, Field(ge=0)]
    reasons: tuple[Reason, ...]


class ScoreChange(Decision):
    """Default probability or grade moved by more than the policy's step."""

    type: Literal["score_change"] = "score_change"
    default_probability: Probability
    spending_anomaly: Probability
    grade: Grade
    previous_probability: Probability | None
    previous_grade: Grade | None
    warming: bool
    reasons: tuple[Reason, ...]


class CollectionAction(Decision):
    """A step of collection begins, or collection stops because the account is current again."""

    type: Literal["collection_action"] = "collection_action"
    step: str
    action: Literal["reminder", "call", "restructuring_offer", "legal_referral", "stop"]
    days_past_due: Annotated[int, Field(ge=0)]
    overdue_amount: Total
    earliest_contact: Milliseconds = Field(description="Contact before this would break the contact hours.")
    reasons: tuple[Reason, ...]


class TrainingExample(Decision):
    """A feature vector as scored, with the label that matured."""

    type: Literal["training_example"] = "training_example"
    label: bool = Field(description="True: the account became past due by the policy's days within the horizon.")
    scored_time: Milliseconds
    inputs: dict[str, float]


class ModelSnapshot(Contract):
    """A trained model; workers swap it in between batches. Signed by HMAC-SHA256 over the canonical JSON without it."""

    type: Literal["model_snapshot"] = "model_snapshot"
    name: str
    version: str
    inputs: tuple[str, ...]
    schema_hash: str
    examples: int
    positives: int
    parameters: dict[str, tuple[float, ...]]
    training_offset: int
    signature: str = ""


#: Topic of each decision.
DECISION_TOPICS: dict[str, type[Decision]] = {
    "warnings": Warning,
    "limit-adjustments": LimitAdjustment,
    "limit-decisions": LimitDecision,
    "score-changes": ScoreChange,
    "collection-actions": CollectionAction,
    "training-examples": TrainingExample,
}
TRAINING_EXAMPLES = "training-examples"
DEAD_LETTERS = "dead-letters"
MODEL_SNAPSHOTS = "model-snapshots"
