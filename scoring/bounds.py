"""Bounds for kernels: what is no number stays none, whatever it is compared with."""

from messages.compiled import part


@part
def larger(x: float, y: float) -> float:
    """The larger of two; no number where either is none."""
    return x if x >= y or x != x else y


@part
def smaller(x: float, y: float) -> float:
    """The smaller of two; no number where either is none."""
    return x if x <= y or x != x else y


@part
def within(x: float, low: float, high: float) -> float:
    """What lies between `low` and `high` as it is, else the nearer of them."""
    return smaller(larger(x, low), high)
