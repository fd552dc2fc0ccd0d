"""Settings: the only place that reads the environment. Every name begins with DUEWATCH_."""

import difflib
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from store.address import RedisAddress

PREFIX = "DUEWATCH_"
LOOPBACK = "127.0.0.1"


class SettingsInvalid(Exception):
    """The environment or the arguments do not make valid settings; the message has one line per problem."""


def _needs_no_secret(url: str) -> str:
    if urlsplit(url).password is not None:
        raise ValueError(
            "put the password into DUEWATCH_REDIS_PASSWORD or DUEWATCH_REDIS_PASSWORD_FILE, not into the URL"
        )
    return url


class Settings(BaseSettings):
    """What a deployment decides. A secret NAME may also be given as NAME_FILE, the path of a file that holds it."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    kafka_bootstrap: str = Field(f"{LOOPBACK}:9092", description="Kafka brokers: host:port, separated by commas.")
    kafka_tls: bool = Field(default=False, description="Encrypt connections to Kafka.")
    kafka_tls_ca: Path | None = Field(None, description="CA certificates for Kafka; the system's if not given.")
    kafka_tls_certificate: Path | None = Field(None, description="Client certificate for Kafka (mutual TLS).")
    kafka_tls_key: Path | None = Field(None, description="Key of the client certificate for Kafka.")
    kafka_tls_key_password: SecretStr | None = Field(None, description="Password of that key.")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How to log in to Kafka; no login if not given."
    )
    kafka_sasl_username: str | None = Field(None, description="Kafka user.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Kafka password.")

    redis_url: Annotated[str, AfterValidator(_needs_no_secret)] = Field(
        f"redis://{LOOPBACK}:6379/0", description="Redis or Valkey server; rediss:// encrypts. No password in here."
    )
    redis_username: str | None = Field(None, description="Redis ACL user.")
    redis_password: SecretStr | None = Field(None, description="Redis password.")
    redis_tls_ca: Path | None = Field(None, description="CA certificates for Redis; the system's if not given.")
    redis_tls_certificate: Path | None = Field(None, description="Client certificate for Redis (mutual TLS).")
    redis_tls_key: Path | None = Field(None, description="Key of the client certificate for Redis.")
    redis_cluster: bool = Field(default=False, description="The server is a node of a Redis Cluster.")
    redis_prefix: str = Field(
        "", pattern=r"^[^{}\s]*$", description="Start of every key, for deployments that share a server."
    )

    group: str = Field("duewatch", min_length=1, description="Kafka consumer group of the workers.")
    partitions: int = Field(8, ge=1, le=4096, description="Partitions of every user-keyed topic; fixed for life.")
    replication: int = Field(1, ge=1, description="Replicas of the topics that `topics create` makes; 3 in production.")
    time_mode: Literal["clock", "event"] = Field(
        "clock", description="What fires timers: the clock (live use) or event time alone (replaying history)."
    )
    currency: str = Field(
        "CNY", pattern=r"^[A-Z]{3}$", description="Currency of the book; amounts are converted to it."
    )
    exchange_rates: dict[str, float] = Field(
        default_factory=dict,
        description='Value in the book\'s currency of one major unit of another: {"USD": 7.1}. A static approximation '
        "is used for those not named.",
    )
    policy_file: Path | None = Field(
        None, description="Policy in force at the start; the shipped default if not given."
    )
    batch_size: int = Field(
        8_000, ge=1, le=100_000, description="Most records that a worker decides at once; its partitions share them."
    )
    residents: int = Field(
        24_000,
        ge=1,
        description="Most user records (3 kB each) that a worker keeps in memory; its partitions share them.",
    )
    dead_letter_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="A worker stops where more than this share of a topic's last records is refused; 1: never.",
    )
    dead_letter_window: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="How many of a topic's records, over all partitions of a worker, count as last.",
    )
    session_timeout: float = Field(
        45.0, ge=6, le=300, description="Seconds without a heartbeat after which Kafka gives a worker's work to others."
    )
    data_directory: Path | None = Field(None, description="Where Faust may keep files; a temporary one if not given.")

    http_host: str = Field(
        LOOPBACK, description="Address of /metrics, /healthz and /readyz; loopback unless told otherwise."
    )
    http_port: int = Field(
        8080, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0 takes a free one."
    )
    hmac_key: SecretStr | None = Field(None, description="Key that signs and checks model snapshots.")
    pseudonym_key: SecretStr | None = Field(
        None, description="Key for the pseudonyms of users in logs; a new one for each process if not given."
    )
    log_format: Literal["json", "console"] = Field("json", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the files that NAME_FILE variables point at."""
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @field_validator("exchange_rates")
    @classmethod
    def _rates_are_positive(cls, rates: dict[str, float]) -> dict[str, float]:
        for code, rate in rates.items():
            if not 0 < rate < float("inf"):
                raise ValueError(f"the rate of {code} must be a positive number")
        return rates

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> "Settings":
        login = (self.kafka_sasl_username, self.kafka_sasl_password)
        if self.kafka_sasl_mechanism is not None and None in login:
            raise ValueError("kafka_sasl_mechanism needs kafka_sasl_username and kafka_sasl_password")
        if self.kafka_sasl_mechanism is None and login != (None, None):
            raise ValueError("kafka_sasl_username and kafka_sasl_password need kafka_sasl_mechanism")
        if not self.kafka_tls and (self.kafka_tls_ca or self.kafka_tls_certificate):
            raise ValueError("kafka_tls_ca and kafka_tls_certificate need kafka_tls=true")
        encrypted = urlsplit(self.redis_url).scheme == "rediss"
        if not encrypted and (self.redis_tls_ca or self.redis_tls_certificate):
            raise ValueError("redis_tls_ca and redis_tls_certificate need a rediss:// URL")
        return self

    def kafka_tls_context(self) -> ssl.SSLContext | None:
        """The TLS context for Kafka, or None where connections are plain."""
        if not self.kafka_tls:
            return None
        context = ssl.create_default_context(cafile=str(self.kafka_tls_ca) if self.kafka_tls_ca else None)
        if self.kafka_tls_certificate:
            context.load_cert_chain(self.kafka_tls_certificate, self.kafka_tls_key, reveal(self.kafka_tls_key_password))
        return context

    def kafka_client_options(self) -> dict[str, Any]:
        """Arguments that every aiokafka client of this deployment takes."""
        options: dict[str, Any] = {"bootstrap_servers": self.kafka_bootstrap}
        context = self.kafka_tls_context()
        protocol = "SSL" if context else "PLAINTEXT"
        if context:
            options["ssl_context"] = context
        if self.kafka_sasl_mechanism:
            protocol = f"SASL_{protocol}"
            options["sasl_mechanism"] = self.kafka_sasl_mechanism
            options["sasl_plain_username"] = self.kafka_sasl_username
            options["sasl_plain_password"] = reveal(self.kafka_sasl_password)
        return {**options, "security_protocol": protocol}

    def redis_address(self) -> RedisAddress:
        """Where Redis is and how to log in."""
        return RedisAddress.from_url(
            self.redis_url,
            prefix=self.redis_prefix,
            cluster=self.redis_cluster,
            username=self.redis_username,
            password=reveal(self.redis_password),
            ca_file=str(self.redis_tls_ca) if self.redis_tls_ca else None,
            certificate_file=str(self.redis_tls_certificate) if self.redis_tls_certificate else None,
            key_file=str(self.redis_tls_key) if self.redis_tls_key else None,
        )


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` win, where they are not None.

    Raises:
        SettingsInvalid: with one line per problem, which never shows the value of a secret.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            where = "_".join(str(part) for part in problem["loc"][:1])
            lines.append(f"{PREFIX}{where.upper()}: {problem['msg']}" if where else problem["msg"])
        raise SettingsInvalid("\n".join(lines)) from None
    except (SettingsError, ValueError) as error:
        raise SettingsInvalid(str(error)) from None


def unknown_variables() -> dict[str, str]:
    """Variables with our prefix that mean nothing, each with the nearest known name ("" where none is near)."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in Settings.model_fields if _is_secret(name)}
    strange = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return {name: next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.85)), "") for name in strange}


def documented() -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of every setting, secrets with the name of their file variant."""
    for name, field in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        if _is_secret(name):
            variable += f" or {variable}_FILE"
        default = field.get_default(call_default_factory=True, validated_data={})
        yield variable, "" if default is None else str(default), field.description or ""


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of a child process that shall run with these settings; our own variables replaced."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    for name, value in settings.model_dump(exclude_defaults=True).items():
        if isinstance(value, SecretStr):
            environment[PREFIX + name.upper()] = value.get_secret_value()
        elif isinstance(value, dict):
            environment[PREFIX + name.upper()] = json.dumps(value)
        else:
            environment[PREFIX + name.upper()] = str(value)
    return environment


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads secrets from the files that DUEWATCH_<NAME>_FILE name."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        variable = PREFIX + field_name.upper()
        path = os.environ.get(f"{variable}_FILE")
        if path is None or not _is_secret(field_name):
            return None, field_name, False
        if variable in os.environ:
            raise ValueError(f"both {variable} and {variable}_FILE are set")
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except OSError as error:
            raise ValueError(f"{variable}_FILE: {error.strerror}: {path}") from error

    def __call__(self) -> dict[str, Any]:
        values = (
            (name, self.get_field_value(field, name)[0]) for name, field in self.settings_cls.model_fields.items()
        )
        return {name: value for name, value in values if value is not None}


def _is_secret(name: str) -> bool:
    return Settings.model_fields[name].annotation == (SecretStr | None)


def reveal(secret: SecretStr | None) -> str | None:
    """The secret itself."""
    return None if secret is None else secret.get_secret_value()
