"""What holds while a batch is decided; it changes only between batches."""

from dataclasses import dataclass

from features.market import Market
from policy.policy import Policy
from scoring.model import Model


@dataclass(frozen=True, slots=True)
class InForce:
    """Policy, model and market that a batch is decided with."""

    policy: Policy
    model: Model
    market: Market
