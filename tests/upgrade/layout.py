"""The record as a next version might have it: one field more, under a new schema version."""

from typing import Any

import numpy as np

from features.record import _FEATURE_STATE, _STANDING, RECORD, SCHEMA_VERSION, _without_gaps

ADDED = "added_by_the_next_version"
NEXT_VERSION = SCHEMA_VERSION + 1
_FIELDS: list[Any] = [("schema", "u2"), *_FEATURE_STATE, (ADDED, "u4"), *_STANDING]
NEXT_RECORD: np.dtype[np.void] = _without_gaps(_FIELDS)
#: What a reader of both versions knows.
BOTH = {SCHEMA_VERSION: RECORD, NEXT_VERSION: NEXT_RECORD}
