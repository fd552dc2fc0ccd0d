"""The policy file as typed models: what may stand in it, and what each part means.

Times are durations as in `30m`, `12h`, `7d`; amounts are minor units of the book's currency; `when` and the like are
expressions over the features of the catalogue (`policy.expressions`).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from features.record import TRIGGERS_MAX
from messages.inputs import LARGEST_AMOUNT
from messages.outputs import Severity
from messages.vocabulary import Currency
from policy.fields import Duration, FeatureName, Name, Number, Span, Template, When

LimitStep = Literal["none", "cut", "freeze"]
TriggerId = Annotated[int, Field(ge=1, le=TRIGGERS_MAX)]
Share = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Money = Annotated[int, Field(ge=0, le=LARGEST_AMOUNT)]
Days = Annotated[int, Field(ge=1, le=3650)]
Hour = Annotated[int, Field(ge=0, le=24)]
Count = Annotated[int, Field(ge=0, le=255)]
Text = Annotated[str, Field(min_length=1, max_length=500)]


class Part(BaseModel):
    """What all parts share: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Words(Part):
    """A text in both languages; `{feature}` is replaced by the feature's value."""

    en: Template
    zh: Template


class Terms(Part):
    """What the feature kernel needs to know (see `features.terms`)."""

    allowed_lateness: Span = 3_600
    stage_days: tuple[Days, ...] = Field(default=(1, 7, 15, 30, 60, 90), min_length=1, max_length=12, strict=False)
    default_days: Days = 30
    horizon_days: Days = 60
    retention_days: Days = 730
    night_start: Hour = 0
    night_end: Hour = 6
    utc_offset: Annotated[Duration, Field(ge=-14 * 3_600, le=14 * 3_600)] = 8 * 3_600


class Level(Part):
    """A severity of a trigger and the condition for it; `limit` overrides the trigger's."""

    severity: Severity
    when: When
    limit: LimitStep | None = None


class Trigger(Part):
    """An early warning: raised once, escalated when it worsens, cleared when over.

    `id` is the slot in the user's record: it must never be given to another trigger. `clear_when` (default: no level
    holds) must hold in addition. `cooldown` delays only the all-clear: a warning stays open at least that long, so a
    flickering condition makes one warning, and none is ever held back.
    """

    id: TriggerId
    name: Name
    levels: tuple[Level, ...] = Field(min_length=1, max_length=4, strict=False)
    clear_when: When | None = None
    cooldown: Annotated[Span, Field(ge=1)] = 7 * 86_400
    limit: LimitStep = "none"
    action: Name
    path_back: Text | None = None
    reason: Words
    evidence: tuple[FeatureName, ...] = Field(default=(), max_length=8, strict=False)


class Review(Part):
    """The reserved trigger: something could not be evaluated, so a person has to look."""

    id: TriggerId = TRIGGERS_MAX
    severity: Severity = "medium"
    cooldown: Annotated[Span, Field(ge=1)] = 7 * 86_400
    action: Name = "manual_review"
    reason: Words


class Threshold(Part):
    """A grade is entered where `enter` holds and left, after `hold`, where `leave` does: the gap is the hysteresis."""

    enter: When
    leave: When


class Grades(Part):
    """A is the best. `hold`: an improvement is believed only so long after the latest change; worse counts at once."""

    B: Threshold
    C: Threshold
    hold: Span = 14 * 86_400
    score_step: Annotated[float, Field(gt=0, le=1)] = 0.05
    reason: Words


class Raise(Part):
    """When a limit grows by `step_share` of itself, within ability to pay and cap."""

    when: When
    step_share: Share = 0.2
    smallest_step: Annotated[Money, Field(ge=1)] = 10_000
    cooldown: Span = 90 * 86_400
    unless_open: Severity = "medium"
    reason: Words


class Cut(Part):
    """A trigger's `limit: cut` lowers the limit to `to_share` of itself, never below `floor` or what is owed."""

    to_share: Annotated[float, Field(gt=0, lt=1)] = 0.7
    floor: Money = 0
    cooldown: Span = 14 * 86_400


class Restore(Part):
    """When a frozen limit comes back: never while a freezing warning is open."""

    when: When
    cooldown: Span = 7 * 86_400
    reason: Words


class Requests(Part):
    """How limit requests are answered; what is not listed is approved as far as ability to pay and cap allow."""

    review_when: When | None = None
    decline_when: When | None = None
    decline_open: Severity = "high"
    decline_grade: Literal["B", "C"] = "C"
    cooldown: Span = 30 * 86_400


class RefusedAutomation(Part):
    """What is still done by itself for a user who refused automated decisions; raises never are."""

    cut: bool = False
    freeze: bool = True


class Limits(Part):
    """The limit strategy. `cap` is the absolute maximum per customer."""

    cap: Money
    ability_to_pay: Number
    round_to: Annotated[Money, Field(ge=1)] = 10_000
    notice: Span = 0
    review_after: Span = 90 * 86_400
    path_back: Text
    raise_: Raise = Field(alias="raise")
    cut: Cut
    restore: Restore
    requests: Requests
    refused_automation: RefusedAutomation = RefusedAutomation()


class Step(Part):
    """A step of collection from `from_days` past due on; `contact` ones keep to the contact hours."""

    name: Name
    from_days: Days
    when: When | None = None
    action: Literal["reminder", "call", "restructuring_offer", "legal_referral"]
    contact: bool = True
    reason: Words


class Contact(Part):
    """Local hours in which a person may be contacted, and the least time between two steps that do."""

    from_hour: Hour = 9
    until_hour: Hour = 20
    gap: Span = 86_400


class Collections(Part):
    """Steps by days past due; everything stops when the account is current again."""

    contact: Contact = Contact()
    steps: tuple[Step, ...] = Field(max_length=16, strict=False)
    stop: Words


class GuardRails(Part):
    """The most that may be decided about one user in a `period` that begins with the first such decision.

    `warnings` bounds newly raised ones below critical: a bad rule cannot flood the analysts.
    """

    period: Annotated[Span, Field(ge=86_400)] = 30 * 86_400
    raises: Count = 1
    cuts: Count = 2
    warnings: Count = 12


class Document(Part):
    """A whole policy."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    currency: Currency
    terms: Terms = Terms()
    labels: dict[FeatureName, Words] = {}
    review: Review
    triggers: tuple[Trigger, ...] = Field(min_length=1, max_length=TRIGGERS_MAX - 1, strict=False)
    grades: Grades
    limits: Limits
    collections: Collections
    guard_rails: GuardRails = GuardRails()


def contradictions(document: Document) -> list[tuple[tuple[str | int, ...], str]]:
    """What each part allows and the whole does not: (path, message) of each."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    ids, names = {document.review.id: "review"}, {"review"}
    for i, trigger in enumerate(document.triggers):
        if trigger.id in ids:
            found.append((("triggers", i, "id"), f"id {trigger.id} is already that of `{ids[trigger.id]}`"))
        ids.setdefault(trigger.id, trigger.name)
        if trigger.name in names:
            found.append((("triggers", i, "name"), f"`{trigger.name}` is already taken"))
        names.add(trigger.name)
        ranks = [RANK[level.severity] for level in trigger.levels]
        if ranks != sorted(set(ranks)):
            found.append((("triggers", i, "levels"), "expected each level to be more severe than the one before"))
    days = [step.from_days for step in document.collections.steps]
    if days != sorted(set(days)):
        found.append((("collections", "steps"), "expected each step to begin later than the one before"))
    for i, day in enumerate(days):
        if day not in document.terms.stage_days:
            stages = ", ".join(map(str, document.terms.stage_days))
            message = f"{day} is none of terms.stage_days ({stages}), so nothing would wake the step up in time"
            found.append((("collections", "steps", i, "from_days"), message))
    if document.terms.default_days not in document.terms.stage_days:
        found.append((("terms", "default_days"), "expected one of terms.stage_days, or labels would mature late"))
    contact = document.collections.contact
    if contact.from_hour >= contact.until_hour:
        found.append((("collections", "contact"), "expected from_hour to be before until_hour"))
    return found


#: Severity as the record keeps it: 0 is no warning.
RANK: dict[str, int] = {"low": 1, "medium": 2, "high": 3, "critical": 4}
