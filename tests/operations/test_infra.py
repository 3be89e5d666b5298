"""What is handed to operators fits the code: every command parses, every setting and every figure exists.

That the files are well formed is the linters' matter (``make lint``).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.core import Metric

from model_worker import metrics
from speechmill.settings import Settings
from storage.places import place_at
from tests.operations.handed import INFRA, parse, settings_known
from tests.servers import S3Server, missing

COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((INFRA / "helm/speechmill/values.yaml").read_text("utf-8"))
HANDED = (
    "compose.yaml",
    "docker/Dockerfile",
    *(f"helm/speechmill/{n}" for n in ("values.yaml", "templates/settings.yaml", "templates/workers.yaml")),
)
OTHERS = {"up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}
OURS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if "SPEECHMILL_ENGINE" in service.get("environment", ())
}


def known_figures() -> set[str]:
    """Every series that a service may show."""
    families: list[Metric] = list(metrics.REGISTRY.collect())
    families += metrics.CatalogFigures(None).describe()  # type: ignore[arg-type]
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    return {family.name + ending for family in families for ending in endings.get(family.type, ("",))}


def figures_in(expression: str) -> set[str]:
    """The series that a query asks for; raises ``ValueError`` for one that Prometheus would not take."""
    promql_parser.parse(expression)
    return set(re.findall(r"\b(?:speechmill|process)_[a-z_]+\b|\bup\b(?=\{)", expression))


def queries() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((INFRA / "helm/speechmill/alerts.yaml").read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    board = json.loads((INFRA / "grafana/dashboards/speechmill.json").read_text("utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(queries()))
def test_every_query_asks_for_figures_that_exist(where: str, expression: str) -> None:
    named = figures_in(expression)
    assert named, where
    assert named <= known_figures() | OTHERS


def test_alerts_call_when_they_should_and_not_otherwise() -> None:
    """Prometheus' own tool runs them over figures that are made up; every alert calls there at least once."""
    cases = Path(__file__).with_name("alerts.yaml")
    promtool = shutil.which("promtool") or missing("promtool is not installed (apt-get install prometheus)")
    ran = subprocess.run([promtool, "test", "rules", cases], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    called = {
        test["alertname"]
        for case in yaml.safe_load(cases.read_text("utf-8"))["tests"]
        for test in case["alert_rule_test"]
        if test["exp_alerts"]
    }
    rules = yaml.safe_load((INFRA / "helm/speechmill/alerts.yaml").read_text("utf-8"))
    assert called == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}


def test_every_alert_is_explained() -> None:
    told = (INFRA.parent / "docs/operations.md").read_text("utf-8")
    rules = yaml.safe_load((INFRA / "helm/speechmill/alerts.yaml").read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert f"`{rule['alert']}`" in told
            assert rule["labels"]["severity"] in ("page", "warn")


def test_every_fault_is_shown_by_tests_that_there_are() -> None:
    told = (INFRA.parent / "docs/operations.md").read_text("utf-8")
    table = told.partition("## Faults, and what happens")[2].partition("\n## ")[0]
    shown = re.findall(r"`(\w+/test_\w+\.py)`", table)
    assert len(shown) > 20
    assert [name for name in shown if not (INFRA.parent / "tests" / name).exists()] == []


def test_every_setting_is_explained() -> None:
    told = (INFRA.parent / "docs/operations.md").read_text("utf-8")
    missing = [name for name in Settings.model_fields if f"`{name.upper()}`" not in told]
    assert missing == []


@pytest.mark.parametrize("name", sorted(OURS))
def test_services_run_commands_that_exist(name: str) -> None:
    words = OURS[name]["command"]
    if "entrypoint" in OURS[name]:
        words = re.findall(r"speechmill ([a-z -]+)", words[0])[0].split()
    parse(words)


def test_every_variable_is_a_setting() -> None:
    known = settings_known() | {"SPEECHMILL_MEDIA", "SPEECHMILL_MODELS"}
    for name in HANDED:
        named = set(re.findall(r"\bSPEECHMILL_[A-Z0-9_]+\b", (INFRA / name).read_text("utf-8")))
        assert named <= known, name


@pytest.mark.parametrize(
    "watched", [COMPOSE["services"]["ingest"]["command"][1], VALUES["ingest"]["where"]], ids=["compose", "chart"]
)
def test_a_film_in_the_folder_that_the_docs_name_is_seen(
    watched: str, tmp_path: Path, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_server.reach(monkeypatch)
    moto_server.client().create_bucket(Bucket="studio")
    moto_server.client().put_object(Bucket="studio", Key="in/film.mp4", Body=b"film")
    chosen = Settings(home=tmp_path, s3_endpoint_url=moto_server.url)
    assert [found.key for found in place_at(watched, chosen).incoming()] == ["in/film.mp4"]
    assert OURS["serve"]["environment"]["SPEECHMILL_DROP_FOLDER"] == COMPOSE["services"]["ingest"]["command"][1]


def test_variables_of_prefect_are_its_settings() -> None:
    import prefect.settings

    for handed in HANDED:
        for name in re.findall(r"\bPREFECT_[A-Z0-9_]+\b", (INFRA / handed).read_text("utf-8")):
            known = hasattr(prefect.settings, name.removesuffix("_FILE"))
            assert known or name.startswith("PREFECT_REDIS_"), name


def test_settings_of_containers_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values in compose are values that the settings take."""
    for service in OURS.values():
        with monkeypatch.context() as patch:
            for name, value in service["environment"].items():
                if name.startswith("SPEECHMILL_") and not name.endswith("_FILE"):
                    patch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
            assert Settings(home=tmp_path).source_roots == ("s3://studio/", "/media")


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_containers_have_no_more_rights_than_they_need(name: str) -> None:
    service = COMPOSE["services"][name]
    assert re.search(r":v?\d", service["image"]), "a pinned version"
    assert "latest" not in service["image"]
    assert not service["user"].startswith(("0", "root"))
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert "configs" not in service, "what Compose writes itself cannot be written to a file system that is read-only"
    assert "mem_limit" in service
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "for a proxy with a login, not for the world"


def test_links_to_reports_lead_where_browsers_of_this_machine_get() -> None:
    (port,) = COMPOSE["services"]["s3"]["ports"]
    shown = OURS["serve"]["environment"]["SPEECHMILL_S3_PUBLIC_URL"]
    assert f"http://{port.rpartition(':')[0]}" in shown


@pytest.mark.parametrize("name", sorted(OURS))
def test_whoever_reads_strangers_files_can_call_nobody_else(name: str) -> None:
    assert OURS[name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_no_service_is_killed_within_its_own_time_to_stop() -> None:
    for service in OURS.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > float(
            service["environment"]["SPEECHMILL_SHUTDOWN_S"]
        )


def test_no_secret_is_written_in_the_files() -> None:
    """Secrets are files that a script makes, and every one that is named is made."""
    made = set(re.findall(r"write (\w+)", (INFRA / "secrets.sh").read_text("utf-8")))
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} <= made
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if any(word in name for word in ("PASSWORD", "SECRET", "KEY", "DATABASE_URL", "BROKER_URL", "AUTH")):
                assert str(value).startswith("/run/secrets/"), name


def test_secrets_are_made_once_and_only_their_owner_finds_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([INFRA / "secrets.sh", folder], check=True, capture_output=True)
    assert folder.stat().st_mode & 0o077 == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    subprocess.run([INFRA / "secrets.sh", folder], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    password = before["postgres_password"].decode()
    assert len(password) == 48
    assert password in before["database_url"].decode()
    json.loads(before["s3_identities"])
