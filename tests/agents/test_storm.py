import random

import pytest

from tests.agents.cluster import Cluster
from tests.agents.storm import caught_up, moved_on, storm


@pytest.mark.embedded
@pytest.mark.slow
async def test_workers_stopped_killed_and_started_ten_times_apply_every_event_once(group: Cluster) -> None:
    rng = random.Random(7)
    script = ["kill", "term", "start", "kill", "term", "kill", "start", "term", "kill", "term"]
    faults = 0

    async def every_other_time() -> None:
        nonlocal faults
        faults += 1
        if faults % 2 == 0:
            await caught_up(group)
        else:
            await moved_on(group)

    found = await storm(group, rng, script, every_other_time)
    assert found.applied == found.sent > 5_000, found
    assert found.differing == {}, found
    assert found.missing == 0, found
