"""What /healthz and /readyz answer."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """Liveness is the event loop; readiness needs an assignment, the store, and the broadcasts read once."""

    assigned: bool = False
    broadcasts_read: bool = False
    store_reachable: bool = True
    failure: str = ""
    starting: set[int] = field(default_factory=set)  # partitions whose owner has not begun yet

    @property
    def alive(self) -> bool:
        """False once something happened that only a restart cures."""
        return not self.failure

    @property
    def ready(self) -> bool:
        """True while events are being worked on as they come."""
        return not self.reasons()

    def reasons(self) -> list[str]:
        """Why the worker is not ready, in words; empty when it is."""
        reasons = []
        if self.failure:
            reasons.append(f"failed: {self.failure}")
        if not self.broadcasts_read:
            reasons.append("market, policies and models are not read yet")
        if not self.assigned:
            reasons.append("no assignment from the group yet")
        if self.starting:
            reasons.append(f"partitions are starting: {sorted(self.starting)}")
        if not self.store_reachable:
            reasons.append("the store is unavailable")
        return reasons
