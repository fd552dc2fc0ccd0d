"""`duewatch worker` and `duewatch trainer`: the long-running processes."""

from typing import Annotated

import typer

from app.commands import options
from app.console import explained
from app.settings import SettingsInvalid, load_settings

Port = Annotated[
    int | None, typer.Option("--http-port", help="Port of /metrics, /healthz, /readyz.", show_default=False)
]


def register(application: typer.Typer) -> None:
    """Add the commands."""
    application.command("worker")(worker)
    application.command("trainer")(trainer)


def worker(
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    policy: options.PolicyFile = None,
    http_port: Port = None,
) -> None:
    """Watch the book: features, scores, warnings and limits for the partitions that this worker is given.

    Start as many as there is work for, at most one per partition; each takes its share, and takes over from one that
    dies. SIGTERM finishes the batch in hand. All other settings come from the environment: see `duewatch settings`.

    Example: DUEWATCH_KAFKA_BOOTSTRAP=kafka:9092 DUEWATCH_REDIS_URL=redis://redis:6379/0 duewatch worker
    """
    from app.kernels import WORKING
    from features.kernel import begin_compiling

    begin_compiling(*WORKING)  # on another processor, while this one imports
    from app.worker import run_worker
    from policy.policy import PolicyError

    with explained(SettingsInvalid, PolicyError, ValueError):
        run_worker(load_settings(kafka_bootstrap=kafka, redis_url=redis, policy_file=policy, http_port=http_port))


def trainer(
    kafka: options.Kafka = None,
    http_port: Port = None,
    every: Annotated[int, typer.Option(min=1, help="Publish a model after so many labels.")] = 100,
) -> None:
    """Learn from matured labels and publish signed models, which the workers take up between batches. Run one.

    Example: DUEWATCH_HMAC_KEY_FILE=/run/secrets/hmac_key duewatch trainer
    """
    from app.worker import TrainerStopped, run_trainer

    with explained(SettingsInvalid, TrainerStopped):
        run_trainer(load_settings(kafka_bootstrap=kafka, http_port=http_port), every)
