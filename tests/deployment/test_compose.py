import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from app.settings import PREFIX, Settings
from tests.deployment.files import COMPOSE, ROOT, compose, services

DEFAULTS = Settings.model_fields


def host_ports() -> dict[str, tuple[str, int, int]]:
    """By service: address and port on the host, port in the container."""
    found = {}
    for name, service in services().items():
        for published in service.get("ports", []):
            address, outside, inside = published.split(":")
            found[name] = (address, int(outside), int(inside))
    return found


def our_services() -> dict[str, dict[str, str]]:
    return {name: service["environment"] for name, service in services().items() if "build" in service}


def test_the_service_names_that_the_readme_promises_are_there() -> None:
    expected = {"kafka", "redis", "topics", "worker", "trainer", "prometheus", "alertmanager", "grafana"}
    assert set(services()) == expected


def test_every_duewatch_variable_is_a_setting_and_its_value_is_accepted(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef")
    with pytest.MonkeyPatch.context() as environment:
        for name, variables in our_services().items():
            for variable, value in variables.items():
                setting = variable.removeprefix(PREFIX).removesuffix("_FILE").lower()
                assert variable.startswith(PREFIX), (name, variable)
                assert setting in DEFAULTS, (name, variable)
                environment.setenv(variable, str(secret) if variable.endswith("_FILE") else value)
        settings = Settings()
    assert settings.redis_password is not None
    assert settings.hmac_key is not None
    assert settings.kafka_bootstrap == "kafka:19092"


def test_secrets_come_from_files_that_git_and_the_image_never_see() -> None:
    declared = compose()["secrets"]
    used = set()
    for name, service in services().items():
        for variable, value in (service.get("environment") or {}).items():
            assert not re.search(r"(?i)(password|hmac_key|pseudonym_key)(?!.*_FILE)", variable), (name, variable)
            if variable.endswith("_FILE"):
                assert Path(value).name in service["secrets"], (name, variable)
        used |= set(service.get("secrets", []))
    assert used == set(declared)
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "!secrets" not in (ROOT / ".dockerignore").read_text()
    for secret in declared.values():
        assert secret["file"].startswith("./secrets/")


def test_make_secrets_makes_all_of_them() -> None:
    target = re.search(r"^secrets:.*?\n\n", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert target is not None
    for secret in compose()["secrets"].values():
        assert Path(secret["file"]).name in target[0]


def test_every_published_port_is_bound_to_the_loopback_address() -> None:
    assert {address for address, _, _ in host_ports().values()} == {"127.0.0.1"}


def test_what_runs_outside_of_the_containers_reaches_kafka_and_redis_with_default_settings() -> None:
    assert DEFAULTS["kafka_bootstrap"].default == f"127.0.0.1:{host_ports()['kafka'][1]}"
    assert urlsplit(DEFAULTS["redis_url"].default).port == host_ports()["redis"][1]


def test_what_runs_inside_finds_the_listeners_that_kafka_announces() -> None:
    kafka = services()["kafka"]["environment"]
    announced = dict(item.split("://") for item in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    bound = dict(item.split("://") for item in kafka["KAFKA_LISTENERS"].split(","))
    for variables in our_services().values():
        assert variables["DUEWATCH_KAFKA_BOOTSTRAP"] == announced["INSIDE"]
    assert bound["INSIDE"].split(":")[1] == announced["INSIDE"].split(":")[1]
    assert announced["HOST"] == DEFAULTS["kafka_bootstrap"].default
    assert bound["CONTROLLER"].split(":")[1] == kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(":")[1]


def test_the_partitions_and_the_port_of_the_probe_are_the_defaults() -> None:
    for variables in our_services().values():
        assert int(variables["DUEWATCH_PARTITIONS"]) == DEFAULTS["partitions"].default
        assert int(variables["DUEWATCH_HTTP_PORT"]) == DEFAULTS["http_port"].default
    for name in ("worker", "trainer"):
        assert f":{DEFAULTS['http_port'].default}/healthz" in services()[name]["healthcheck"]["test"][-1]


def test_every_image_of_others_is_pinned_to_a_full_version() -> None:
    for name, service in services().items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+\.\d+[\w.-]*$", service["image"]), (name, service["image"])


def test_every_lasting_service_restarts_is_probed_and_bounds_its_logs() -> None:
    for name, service in services().items():
        assert service["logging"]["options"]["max-size"], name
        if name != "topics":
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name


def test_every_file_that_is_mounted_exists_and_is_read_only() -> None:
    volumes = compose()["volumes"]
    for name, service in services().items():
        for mount in service.get("volumes", []):
            source, _, rest = mount.partition(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), (name, mount)
                assert rest.endswith(":ro"), (name, mount)
            else:
                assert source in volumes, (name, mount)


def test_redis_keeps_every_commit_and_never_evicts_state() -> None:
    command = services()["redis"]["command"][-1]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_redis_does_not_rewrite_the_file_of_a_small_book_again_and_again() -> None:
    assert "--auto-aof-rewrite-min-size 4gb" in services()["redis"]["command"][-1]


def test_our_containers_run_without_privileges() -> None:
    for name in our_services():
        service = services()[name]
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_prometheus_scrapes_every_service_of_ours_that_lasts() -> None:
    jobs = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        (name, lookup["port"]) for job in jobs for lookup in job.get("dns_sd_configs", []) for name in lookup["names"]
    }
    assert scraped == {(name, DEFAULTS["http_port"].default) for name in our_services() if name != "topics"}


def test_prometheus_and_grafana_find_their_neighbours() -> None:
    prometheus = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    target = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert target == [f"alertmanager:{host_ports()['alertmanager'][2]}"]
    source = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == f"http://prometheus:{host_ports()['prometheus'][2]}"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


@pytest.mark.compose
def test_docker_compose_accepts_the_file() -> None:
    tool = shutil.which("docker-compose")
    assert tool, "docker-compose is not installed"
    done = subprocess.run([tool, "--file", str(COMPOSE), "config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(services())
