"""What an examination found: one line each, with the way to mend it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: Things that are named before it says how many more there are.
MOST_NAMES = 6


class Status(StrEnum):
    """How bad it is. A failure loses events or stops the service; a warning will, when something else goes wrong."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "cannot be checked here"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: of what, how it went, what was found, and what to do about it."""

    subject: str
    check: str
    status: Status
    found: str
    hint: str = ""


def judged(
    subject: str, check: str, problems: Mapping[str, str], fine: str, hint: str, status: Status = Status.FAILURE
) -> Finding:
    """A finding over many things: `fine`, or the problem of each that has one, those that share it named together."""
    if not problems:
        return Finding(subject, check, Status.OK, fine)
    by_problem: dict[str, list[str]] = {}
    for name, problem in problems.items():
        by_problem.setdefault(problem, []).append(name)
    text = "; ".join(f"{problem}: {_listed(names)}" for problem, names in by_problem.items())
    return Finding(subject, check, status, text, hint)


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
