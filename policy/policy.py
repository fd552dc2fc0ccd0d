"""A policy in force: the checked document with everything that judging needs made ready."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ValidationError

from features.catalogue import INDEX
from features.terms import Terms
from policy.document import Document, contradictions
from policy.expressions import Condition, Formula, suggest
from policy.screening import Screen, screen
from policy.source import Path, SourceError, read
from policy.triggers import Table, Watch, table, watches

#: A text in which more is wrong is something else than a policy; to find the nearest name for each takes its time.
MOST_PROBLEMS = 100
_LONGEST_PROBLEM = 500


class PolicyError(ValueError):
    """A policy that cannot be used; `problems` are those found, each with its place and what was expected."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Policy:
    """What `load` returns; equal documents have equal versions, whatever their comments and layout."""

    name: str
    version: str  # name@12 hex digits of the content's hash
    currency: str  # of the amounts in it: the book's currency
    terms: Terms
    document: Document
    watches: tuple[Watch, ...]
    table: Table  # of the watches
    screen: Screen
    features: tuple[str, ...]  # that its expressions mention, in the order of the catalogue


def load(text: str) -> Policy:
    """Read a policy from YAML. Raises PolicyError with every problem that could be found at once."""
    try:
        plain, lines = read(text)
    except SourceError as error:
        raise PolicyError([str(error)]) from None
    try:
        document = Document.model_validate(plain)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [_problem(one, lines) for one in found[:MOST_PROBLEMS]]
        if len(found) > MOST_PROBLEMS:
            problems.append(f"and {len(found) - MOST_PROBLEMS} more")
        raise PolicyError(problems) from None
    problems = [_place(path, lines) + message for path, message in contradictions(document)]
    if problems:
        raise PolicyError(problems)
    content = json.dumps(document.model_dump(mode="json", by_alias=True), sort_keys=True, ensure_ascii=False)
    ready = watches(document)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Policy(
        name=document.name,
        version=f"{document.name}@{digest}",
        currency=document.currency,
        terms=Terms(**{field.name: getattr(document.terms, field.name) for field in fields(Terms)}),
        document=document,
        watches=ready,
        table=table(ready),
        screen=screen(document, ready),
        features=tuple(sorted(set(_mentioned(document)), key=INDEX.__getitem__)),
    )


def default_text() -> str:
    """The YAML of the policy that ships."""
    return files("policy").joinpath("default.yaml").read_text("utf-8")


def load_default() -> Policy:
    """The policy that ships."""
    return load(default_text())


def _mentioned(part: object) -> Iterator[str]:
    """Names of the features that a part's expressions mention."""
    if isinstance(part, Condition | Formula):
        yield from part.names
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _mentioned(getattr(part, name))
    elif isinstance(part, tuple):
        for item in part:
            yield from _mentioned(item)


def _problem(found: Any, lines: dict[Path, int]) -> str:
    path = tuple(part for part in found["loc"] if part != "[key]")
    message, given = str(found["msg"]).removeprefix("Value error, "), found["input"]
    if found["type"] == "extra_forbidden":
        message = f"unknown field{suggest(str(path[-1]), _FIELDS)}"
    elif found["type"] == "missing":
        message = "is missing; the field is required"
    elif found["type"] != "value_error" and isinstance(given, str | int | float | bool | None):
        message = f"{message}, found {given!r}"
    problem = _place(path, lines) + message
    return problem if len(problem) <= _LONGEST_PROBLEM else problem[:_LONGEST_PROBLEM] + "..."


def _place(path: Path, lines: dict[Path, int]) -> str:
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    known = next((path[:length] for length in range(len(path), -1, -1) if path[:length] in lines), ())
    return f"line {lines.get(known, 1)}: {shown}: " if shown else f"line {lines.get(known, 1)}: "


def _field_names(model: Any, found: set[str]) -> set[str]:
    for name, info in model.model_fields.items():
        found.add(info.alias or name)
        for inner in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if hasattr(inner, "model_fields"):
                _field_names(inner, found)
    return found


_FIELDS = sorted(_field_names(Document, set()))
