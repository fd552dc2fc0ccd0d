"""Examines the servers of the store: will they keep what they are given, and can the workers write to them?"""

import re
from collections.abc import Iterator

from app.finding import Finding, Status
from store.contract import ServerReport

OLDEST_VERSION = (6, 2)  # ZRANGE ... BYSCORE LIMIT
#: Share of `maxmemory` in use from which on it is a warning, and a failure.
FULL, TOO_FULL = 0.8, 0.95
#: Clocks that are apart by so many milliseconds are a warning, and a failure.
SKEW, TOO_MUCH_SKEW = 2_000, 60_000


def examine_server(report: ServerReport) -> Iterator[Finding]:
    """Everything that one server's report tells."""
    yield _version(report)
    yield _writable(report)
    yield _persistence(report)
    yield _health_of_files(report)
    yield _eviction(report)
    yield _memory(report)
    if report.info.get("cluster_enabled") == "1":
        yield _cluster(report)
    yield skew(report.server, report.ahead_ms, report.within_ms)


def snapshot_age(reports: list[ServerReport], now: float) -> float | None:
    """Seconds since the oldest snapshot among the servers'; None where no server makes any, or none tells."""
    ages = [
        now - int(report.info["rdb_last_save_time"])
        for report in reports
        if report.info.get("rdb_last_save_time", "").isdecimal() and _snapshots(report)
    ]
    return max(ages, default=None)


def skew(subject: str, ahead_ms: float, within_ms: float) -> Finding:
    """How far a server's clock is from this machine's."""
    apart = max(0.0, abs(ahead_ms) - within_ms)
    status = Status.FAILURE if apart > TOO_MUCH_SKEW else Status.WARNING if apart > SKEW else Status.OK
    side = "ahead of" if ahead_ms > 0 else "behind"
    text = f"{abs(ahead_ms) / 1000:.3f} s {side} this machine's, within {within_ms / 1000:.3f} s"
    hint = "synchronise all clocks (NTP): timers fire by the workers', arrival is stamped by the brokers'"
    return Finding(subject, "clock", status, text, "" if status is Status.OK else hint)


def _version(report: ServerReport) -> Finding:
    text = report.info.get("redis_version", "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    valkey = report.info.get("valkey_version")
    name = f"Valkey {valkey}, as Redis {text}" if valkey else f"Redis {text}"
    if not numbers:
        return Finding(report.server, "version", Status.UNKNOWN, "INFO tells no version")
    status = Status.OK if numbers >= OLDEST_VERSION else Status.FAILURE
    return Finding(report.server, "version", status, name, "" if status is Status.OK else "6.2 or newer is needed")


def _writable(report: ServerReport) -> Finding:
    check = "commands"
    if report.info.get("role", "master") != "master":
        return Finding(report.server, check, Status.FAILURE, "is a replica", "point DUEWATCH_REDIS_URL at the primary")
    if report.refused:
        text = "; ".join(f"{name}: {words}" for name, words in report.refused.items())
        hint = "permit them (ACL SETUSER) for keys that begin with the prefix; see docs/runbooks/redis-refuses.md"
        return Finding(report.server, check, Status.FAILURE, text, hint)
    return Finding(report.server, check, Status.OK, "all that the store needs is permitted")


def _snapshots(report: ServerReport) -> bool:
    return report.config.get("save", "?") != ""


def _persistence(report: ServerReport) -> Finding:
    check, log = "persistence", report.info.get("aof_enabled") == "1"
    fsync = report.config.get("appendfsync", "")
    turn_on = "set `appendonly yes`, `appendfsync everysec` and `save 900 1`"
    if not log and not _snapshots(report):
        text = "neither an append-only file nor snapshots: a restart forgets everything"
        hint = f"{turn_on}: without a checkpoint only a replay from the first event restores the state"
        return Finding(report.server, check, Status.FAILURE, text, hint)
    if not log:
        rules = report.config.get("save")
        text = f"snapshots only ({rules})" if rules else "no append-only file"
        return Finding(report.server, check, Status.WARNING, text, turn_on + ": it makes replays after a crash shorter")
    if fsync == "no":
        text = "append-only file, but appendfsync is no: the tail lost by a crash has no bound"
        return Finding(report.server, check, Status.WARNING, text, "set `appendfsync everysec`")
    extra = "" if _snapshots(report) else ", no snapshots: back the file up"
    return Finding(report.server, check, Status.OK, f"append-only file, appendfsync {fsync or 'not told'}{extra}")


def _health_of_files(report: ServerReport) -> Finding:
    names = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
    told = {name: report.info[name] for name in names if name in report.info}
    bad = [name for name, status in told.items() if status != "ok"]
    if not told:
        return Finding(report.server, "files", Status.UNKNOWN, "INFO tells nothing about them")
    if bad:
        hint = (
            "free disk space, and memory for the fork, then BGSAVE or BGREWRITEAOF; see docs/runbooks/redis-refuses.md"
        )
        return Finding(report.server, "files", Status.FAILURE, f"{', '.join(bad)}: not ok", hint)
    return Finding(report.server, "files", Status.OK, "the last snapshot, write and rewrite went well")


def _eviction(report: ServerReport) -> Finding:
    policy = report.config.get("maxmemory-policy") or report.info.get("maxmemory_policy")
    if policy is None:
        return Finding(report.server, "eviction", Status.UNKNOWN, "neither CONFIG nor INFO tells the policy")
    if policy != "noeviction":
        return Finding(
            report.server, "eviction", Status.FAILURE, f"maxmemory-policy {policy} throws records away",
            "set `maxmemory-policy noeviction`: workers then wait until there is memory, and lose nothing",
        )  # fmt: skip
    return Finding(report.server, "eviction", Status.OK, "noeviction")


def _memory(report: ServerReport) -> Finding:
    check = "memory"
    used, most = (int(report.info.get(name, "0") or 0) for name in ("used_memory", "maxmemory"))
    if not used:
        return Finding(report.server, check, Status.UNKNOWN, "INFO tells nothing about it")
    if not most:
        return Finding(
            report.server, check, Status.WARNING, f"{used / 2**20:,.0f} MiB used, no limit",
            "set `maxmemory` below the machine's: else the kernel ends Redis instead of Redis refusing writes",
        )  # fmt: skip
    share = used / most
    status = Status.FAILURE if share >= TOO_FULL else Status.WARNING if share >= FULL else Status.OK
    text = f"{used / 2**20:,.0f} of {most / 2**20:,.0f} MiB used ({share:.0%})"
    hint = "" if status is Status.OK else "add memory or raise `maxmemory`; see docs/runbooks/redis-out-of-memory.md"
    return Finding(report.server, check, status, text, hint)


def _cluster(report: ServerReport) -> Finding:
    state = report.info.get("cluster_state")
    if state is None:
        return Finding(report.server, "cluster", Status.UNKNOWN, "CLUSTER INFO is refused")
    if state != "ok":
        slots = report.info.get("cluster_slots_ok", "?")
        return Finding(
            report.server, "cluster", Status.FAILURE, f"state {state}, {slots} slots served",
            "bring the failed masters or their replicas back (CLUSTER NODES)",
        )  # fmt: skip
    return Finding(report.server, "cluster", Status.OK, f"{report.info.get('cluster_size')} masters, all slots served")
