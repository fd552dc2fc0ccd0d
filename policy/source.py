"""Reading a policy's YAML: plain data, and the line on which each part stands."""

from collections.abc import Hashable

import yaml

LARGEST_TEXT = 1_000_000
#: Names, values, lists and mappings together. The parser takes a tenth of a millisecond for each, and a worker waits.
MOST_PARTS = 10_000
DEEPEST = 20

Path = tuple[Hashable, ...]
Plain = dict[str, "Plain"] | list["Plain"] | str | int | float | bool | None


class SourceError(ValueError):
    """The text is no YAML that a policy may use; the message says where."""


def read(text: str) -> tuple[Plain, dict[Path, int]]:
    """Parse YAML into plain data and a map from each path to its line (from 1).

    Refused with SourceError: broken YAML, several documents, repeated keys, aliases (they can blow a small text up),
    tags, and texts that are too large, have too many parts or are nested too deeply.
    """
    if len(text) > LARGEST_TEXT:
        raise SourceError(f"the policy has {len(text)} characters; expected at most {LARGEST_TEXT}")
    try:
        _refuse_what_is_not_plain(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise SourceError("the policy is empty; expected a mapping with `name`, `triggers`, ...")
        lines: dict[Path, int] = {}
        _walk(root, (), lines)
        return yaml.safe_load(text), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise SourceError(f"{where}not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"not valid YAML: {error}") from None


def _refuse_what_is_not_plain(text: str) -> None:
    depth = parts = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.AliasEvent):
            raise SourceError(f"line {line}: aliases are not allowed; write the part out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            parts += 1
            if parts > MOST_PARTS:
                raise SourceError(f"line {line}: more than {MOST_PARTS} names and values")
            # The parser's constructors raise whatever they come upon where a tag does not fit its value.
            if event.tag is not None:
                raise SourceError(f"line {line}: tags are not allowed; not valid YAML for a policy: {event.tag!r}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise SourceError(f"line {line}: nested more than {DEEPEST} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise SourceError(f"line {key.start_mark.line + 1}: expected a name before the colon")
            inner = (*path, key.value)
            if inner in lines:
                raise SourceError(f"line {key.start_mark.line + 1}: `{key.value}` is given twice")
            _walk(value, inner, lines)
            lines[inner] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _walk(value, (*path, position), lines)
