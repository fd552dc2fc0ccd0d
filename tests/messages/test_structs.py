from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from messages.inputs import UserEvent
from messages.structs import derive


class WithRule(UserEvent):
    type: Literal["with_rule"] = "with_rule"

    @model_validator(mode="after")
    def _never(self) -> "WithRule":
        return self


class WithFieldRule(UserEvent):
    type: Literal["with_field_rule"] = "with_field_rule"

    @field_validator("event_id")
    @classmethod
    def _same(cls, value: str) -> str:
        return value


class WithPattern(UserEvent):
    type: Literal["with_pattern"] = "with_pattern"
    code: Annotated[str, Field(pattern="^[a-z]$")]


class WithStep(UserEvent):
    type: Literal["with_step"] = "with_step"
    amount: Annotated[int, Field(multiple_of=5)]


class WithFloat(UserEvent):
    type: Literal["with_float"] = "with_float"
    share: float


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (WithRule, "WithRule: a validator without its twin"),
        (WithFieldRule, "WithFieldRule: a validator without its twin"),
        (WithPattern, "WithPattern.code: constraint"),
        (WithStep, "WithStep.amount: constraint"),
        (WithFloat, "WithFloat.share: no struct field can be derived"),
    ],
)
def test_a_contract_that_the_fast_path_would_check_less_strictly_has_no_struct(
    model: type[UserEvent], problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        derive(model)
