"""Contracts of the input topics, version 1.

Every event is one JSON object. Times are integer milliseconds since 1970-01-01 UTC, amounts are integers in the
minor unit of their currency (ISO 4217). A published version never changes its meaning: a new meaning is a new version.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from messages.vocabulary import (
    Category,
    Currency,
    FundStatus,
    Indicator,
    PaymentMethod,
    PolicyMode,
    Purpose,
    Verdict,
)

#: 2000-01-01 and 2100-01-01 UTC in milliseconds: no pay-later book has events outside of them.
EARLIEST_MS = 946_684_800_000
LATEST_MS = 4_102_444_800_000
#: 40 million major units of a two-decimal currency; keeps every sum of a record inside its dtype.
LARGEST_AMOUNT = 4_000_000_000

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Milliseconds = Annotated[int, Field(ge=EARLIEST_MS, lt=LATEST_MS)]
Amount = Annotated[int, Field(ge=0, le=LARGEST_AMOUNT)]
PositiveAmount = Annotated[int, Field(ge=1, le=LARGEST_AMOUNT)]


class Contract(BaseModel):
    """What all contracts share: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_serialization_defaults_required=True
    )


class UserEvent(Contract):
    """One thing that happened to one user. The Kafka key is `user_id` in UTF-8."""

    event_id: Identifier = Field(description="Unique per event; a repeated id of the same user is dropped.")
    user_id: Identifier = Field(description="Opaque id of the user; the Kafka key must be the same bytes.")
    time: Milliseconds = Field(description="When it happened: milliseconds since 1970-01-01 UTC.")
    version: Literal[1] = 1


class Purchase(UserEvent):
    """A purchase on the pay-later account."""

    type: Literal["purchase"] = "purchase"
    order_id: Identifier
    amount: PositiveAmount
    currency: Currency
    category: Category
    merchant_id: Identifier
    device_id: Identifier | None = None
    city: Identifier | None = None
    instalments: Annotated[int, Field(ge=1, le=24)] = 1
    green: bool = Field(default=False, description="Certified energy-saving or otherwise green goods.")
    energy_intensive: bool = Field(default=False, description="Goods that use much energy, or fuel itself.")


class Refund(UserEvent):
    """Money returned for an order, in whole or in part."""

    type: Literal["refund"] = "refund"
    order_id: Identifier
    amount: PositiveAmount
    currency: Currency
    merchant_id: Identifier | None = None


class Repayment(UserEvent):
    """Money paid by the user. Without a bill it is a credit that covers the oldest open bill first."""

    type: Literal["repayment"] = "repayment"
    repayment_id: Identifier
    amount: PositiveAmount
    currency: Currency
    bill_id: Identifier | None = None
    method: PaymentMethod = "manual"


class FailedDebit(UserEvent):
    """An automatic debit that the user's bank refused."""

    type: Literal["failed_debit"] = "failed_debit"
    amount: PositiveAmount
    currency: Currency
    bill_id: Identifier | None = None


class Reversal(UserEvent):
    """A repayment that was taken back (returned debit, cancelled transfer)."""

    type: Literal["reversal"] = "reversal"
    repayment_id: Identifier
    amount: PositiveAmount
    currency: Currency
    bill_id: Identifier | None = None


class BillIssued(UserEvent):
    """A statement: what is due, and by when."""

    type: Literal["bill_issued"] = "bill_issued"
    bill_id: Identifier
    amount_due: Amount
    minimum_due: Amount = Field(description="Paying at least this by the due date keeps the account current.")
    currency: Currency
    due_time: Milliseconds
    carries_balance: bool = Field(
        default=False,
        description="True where the statement's amount includes what earlier bills left unpaid (credit-card style).",
    )

    @model_validator(mode="after")
    def _minimum_within_amount(self) -> "BillIssued":
        if self.minimum_due > self.amount_due:
            raise ValueError("minimum_due is greater than amount_due")
        return self


class BillRescheduled(UserEvent):
    """A new due date for a bill; the newest agreement counts."""

    type: Literal["bill_rescheduled"] = "bill_rescheduled"
    bill_id: Identifier
    due_time: Milliseconds


class HardshipPause(UserEvent):
    """Days past due do not grow from `time` until `until`; the newest agreement counts."""

    type: Literal["hardship_pause"] = "hardship_pause"
    until: Milliseconds


class ProvidentFund(UserEvent):
    """State of the user's housing provident-fund account after a monthly run or a change."""

    type: Literal["provident_fund"] = "provident_fund"
    status: FundStatus
    monthly_amount: Amount
    currency: Currency
    months_contributed: Annotated[int, Field(ge=0, le=1200)]
    employer_id: Identifier | None = None
    city: Identifier | None = None


class AccountOpened(UserEvent):
    """The pay-later account starts, with its first limit."""

    type: Literal["account_opened"] = "account_opened"
    limit: Amount
    currency: Currency
    monthly_income: Amount | None = None
    region: Identifier | None = None
    segment: Identifier | None = None
    consents_to_increases: bool = False
    consents_to_automated_decisions: bool = True


class ProfileChanged(UserEvent):
    """New facts about the user; a field left out stays as it was."""

    type: Literal["profile_changed"] = "profile_changed"
    currency: Currency | None = Field(default=None, description="Needed with monthly_income.")
    monthly_income: Amount | None = None
    region: Identifier | None = None
    segment: Identifier | None = None
    consents_to_increases: bool | None = None
    consents_to_automated_decisions: bool | None = None

    @model_validator(mode="after")
    def _income_has_a_currency(self) -> "ProfileChanged":
        if self.monthly_income is not None and self.currency is None:
            raise ValueError("currency is required with monthly_income")
        return self


class AccountClosed(UserEvent):
    """The account takes no new purchases; what is owed stays owed."""

    type: Literal["account_closed"] = "account_closed"


class ErasureRequested(UserEvent):
    """The user asks to be forgotten: done at once where nothing is owed, else when it is paid."""

    type: Literal["erasure_requested"] = "erasure_requested"


class Browse(UserEvent):
    """The user looked at goods of a category."""

    type: Literal["browse"] = "browse"
    category: Category
    device_id: Identifier | None = None


class Login(UserEvent):
    """The user logged in, or tried to."""

    type: Literal["login"] = "login"
    succeeded: bool = True
    device_id: Identifier | None = None
    city: Identifier | None = None


class LimitRequest(UserEvent):
    """The user asks for a credit limit; the answer is published to `limit-decisions`."""

    type: Literal["limit_request"] = "limit_request"
    request_id: Identifier
    requested_limit: PositiveAmount
    currency: Currency
    purpose: Purpose = "other"


class WarningFeedback(UserEvent):
    """An analyst's verdict on a warning."""

    type: Literal["warning_feedback"] = "warning_feedback"
    warning_id: Identifier
    verdict: Verdict


class FraudConfirmed(UserEvent):
    """A confirmed fraud or charge-back."""

    type: Literal["fraud_confirmed"] = "fraud_confirmed"
    order_id: Identifier | None = None
    amount: Amount = 0
    currency: Currency | None = Field(default=None, description="Needed with an amount.")
    charge_back: bool = False

    @model_validator(mode="after")
    def _amount_has_a_currency(self) -> "FraudConfirmed":
        if self.amount > 0 and self.currency is None:
            raise ValueError("currency is required with an amount")
        return self


class MarketIndicator(Contract):
    """One figure about a region's economy. The Kafka key is `region`."""

    type: Literal["market_indicator"] = "market_indicator"
    event_id: Identifier
    region: Identifier
    time: Milliseconds
    indicator: Indicator
    value: Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
    normal: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] = Field(
        description="The indicator's long-run level; value / normal above 1 is worse than usual."
    )
    version: Literal[1] = 1


class PolicyPublished(Contract):
    """A policy to activate, to run in shadow, or to retire. The Kafka key is `name`."""

    type: Literal["policy_published"] = "policy_published"
    event_id: Identifier
    name: Identifier
    time: Milliseconds
    mode: PolicyMode
    document: Annotated[str, Field(max_length=1_000_000)] = Field(description="The policy file, YAML.")
    version: Literal[1] = 1


#: Input topics keyed by user, in the order in which a partition's commits name them, and what each carries.
USER_TOPICS: dict[str, tuple[type[UserEvent], ...]] = {
    "purchases": (Purchase, Refund),
    "repayments": (Repayment, FailedDebit, Reversal),
    "bills": (BillIssued, BillRescheduled, HardshipPause),
    "provident-fund": (ProvidentFund,),
    "profiles": (AccountOpened, ProfileChanged, AccountClosed, ErasureRequested),
    "behaviours": (Browse, Login),
    "limit-requests": (LimitRequest,),
    "feedback": (WarningFeedback, FraudConfirmed),
}

#: Input topics that every worker reads whole.
BROADCAST_TOPICS: dict[str, tuple[type[Contract], ...]] = {
    "market": (MarketIndicator,),
    "policies": (PolicyPublished,),
}
