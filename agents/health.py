"""What /healthz and /readyz answer."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """Liveness is the event loop; readiness needs an assignment, store and broker, and the broadcasts read once."""

    assigned: bool = False
    broadcasts_read: bool = False
    store_reachable: bool = True
    broker_reachable: bool = True
    publishing_late: int = 0  # calls that the broker has not confirmed for a while
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
        if not self.broker_reachable:
            reasons.append("no broker answers")
        if self.publishing_late:
            reasons.append("the broker does not confirm what is published")
        return reasons
