import os
from pathlib import Path

import pytest

from app.settings import (
    Settings,
    SettingsInvalid,
    documented,
    environment_of,
    load_settings,
    reveal,
    unknown_variables,
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DUEWATCH_")]:
        monkeypatch.delenv(name)


def test_ports_are_on_loopback_unless_told_otherwise() -> None:
    settings = load_settings()
    assert settings.http_host == "127.0.0.1"
    assert settings.kafka_bootstrap.startswith("127.0.0.1:")
    assert "127.0.0.1" in settings.redis_url


def test_the_environment_sets_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWATCH_PARTITIONS", "12")
    monkeypatch.setenv("DUEWATCH_EXCHANGE_RATES", '{"USD": 7.1}')
    assert load_settings().partitions == 12
    assert load_settings().exchange_rates == {"USD": 7.1}
    assert load_settings(partitions=3, kafka_bootstrap=None).partitions == 3


def test_secrets_show_neither_in_repr_nor_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWATCH_REDIS_PASSWORD", "hunter2")
    settings = load_settings(hmac_key="hunter3")
    assert reveal(settings.redis_password) == "hunter2"
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.redis_address())):
        assert "hunter" not in shown


def test_a_secret_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    monkeypatch.setenv("DUEWATCH_REDIS_PASSWORD_FILE", str(secret))
    assert reveal(load_settings().redis_password) == "hunter2"


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    monkeypatch.setenv("DUEWATCH_REDIS_PASSWORD_FILE", str(secret))
    monkeypatch.setenv("DUEWATCH_REDIS_PASSWORD", "hunter3")
    with pytest.raises(SettingsInvalid, match="both DUEWATCH_REDIS_PASSWORD and") as refused:
        load_settings()
    assert "hunter" not in str(refused.value)


def test_a_missing_secret_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWATCH_HMAC_KEY_FILE", "/nowhere/key")
    with pytest.raises(SettingsInvalid, match=r"DUEWATCH_HMAC_KEY_FILE: .*: /nowhere/key"):
        load_settings()


def test_a_password_in_the_url_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWATCH_REDIS_URL", "redis://:hunter2@127.0.0.1:6379/0")
    with pytest.raises(SettingsInvalid, match=r"DUEWATCH_REDIS_URL: .*DUEWATCH_REDIS_PASSWORD") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"kafka_sasl_mechanism": "PLAIN"}, "needs kafka_sasl_username"),
        ({"kafka_sasl_username": "u", "kafka_sasl_password": "p"}, "need kafka_sasl_mechanism"),
        ({"kafka_tls_ca": "/ca.pem"}, "need kafka_tls=true"),
        ({"redis_tls_ca": "/ca.pem"}, "need a rediss:// URL"),
        ({"exchange_rates": {"USD": 0}}, "the rate of USD must be a positive number"),
        ({"partitions": 0}, "DUEWATCH_PARTITIONS"),
        ({"time_mode": "never"}, "DUEWATCH_TIME_MODE"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_setting_named(overrides: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsInvalid, match=words):
        load_settings(**overrides)


def test_login_and_encryption_reach_the_kafka_clients() -> None:
    settings = load_settings(
        kafka_tls=True,
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="u",
        kafka_sasl_password="p",  # noqa: S106
    )
    options = settings.kafka_client_options()
    assert options["security_protocol"] == "SASL_SSL"
    assert options["ssl_context"].check_hostname
    assert (options["sasl_mechanism"], options["sasl_plain_username"], options["sasl_plain_password"]) == (
        "SCRAM-SHA-512",
        "u",
        "p",
    )
    assert load_settings().kafka_client_options()["security_protocol"] == "PLAINTEXT"


def test_login_and_encryption_reach_the_store() -> None:
    address = load_settings(redis_url="rediss://cache:6380/2", redis_username="u", redis_password="p").redis_address()  # noqa: S106
    assert (address.host, address.port, address.database, address.tls) == ("cache", 6380, 2, True)
    assert (address.username, address.password) == ("u", "p")


def test_a_child_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWATCH_BATCH_SIZE", "17")
    settings = load_settings(partitions=3, hmac_key="hunter2", exchange_rates={"EUR": 7.5}, policy_file="/p.yaml")
    child = environment_of(settings)
    for name in [name for name in os.environ if name.startswith("DUEWATCH_")]:
        monkeypatch.delenv(name)
    for name, value in child.items():
        if name.startswith("DUEWATCH_"):
            monkeypatch.setenv(name, value)
    assert load_settings() == settings
    assert settings.batch_size == 17


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUEWATCH_PARTITION", "3")
    monkeypatch.setenv("DUEWATCH_PORT_8080_TCP", "tcp://10.0.0.1:8080")
    assert unknown_variables() == {"DUEWATCH_PARTITION": "DUEWATCH_PARTITIONS", "DUEWATCH_PORT_8080_TCP": ""}


def test_every_setting_is_described() -> None:
    rows = list(documented())
    assert len(rows) == len(Settings.model_fields) > 30
    assert all(meaning.endswith((".", ")")) for _, _, meaning in rows)
    assert any(name == "DUEWATCH_REDIS_PASSWORD or DUEWATCH_REDIS_PASSWORD_FILE" for name, _, _ in rows)
