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

import click
import promql_parser
import pytest
import yaml
from prometheus_client.core import Metric

from flows.cli import cli
from model_worker import metrics
from model_worker.broker import lists
from model_worker.messages import Queue
from speechmill.settings import Settings
from storage.places import place_at
from tests.servers import S3Server

INFRA = Path(__file__).parents[2] / "infra"
CHART = INFRA / "helm/speechmill"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
TEMPLATES = {path.name: path.read_text("utf-8") for path in sorted((CHART / "templates").iterdir())}
OTHERS = {"up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("speechmill:")}


def parse(words: list[str]) -> None:
    """Parse a command line without running it; raises what a user would be told."""
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"there is no command {words[0]}"
    command.make_context(words[0], list(words[1:]))


def settings_named(text: str) -> set[str]:
    """Variables of ours in a text; one that ends in ``_FILE`` means the setting whose value the file holds."""
    named = set(re.findall(r"\bSPEECHMILL_[A-Z0-9_]+\b", text))
    known = {f"SPEECHMILL_{name.upper()}" for name in Settings.model_fields}
    return {name if name in known else name.removesuffix("_FILE") for name in named}


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
    rules = yaml.safe_load((INFRA / "prometheus/alerts.yaml").read_text("utf-8"))
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


def test_every_alert_is_explained() -> None:
    told = (INFRA.parent / "docs/operations.md").read_text("utf-8")
    rules = yaml.safe_load((INFRA / "prometheus/alerts.yaml").read_text("utf-8"))
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
    parse(OURS[name]["command"])


def test_pods_run_commands_that_exist() -> None:
    args = re.findall(r"^\s+args: \[(.*)\]$", "\n".join(TEMPLATES.values()), re.MULTILINE)
    assert len(args) == 4
    for line in args:
        for worker in VALUES["workers"].values() if "$worker" in line else [None]:
            filled = line.replace("{{ $worker.queue }}", worker["queue"] if worker else "")
            filled = filled.replace("{{ .Values.ingest.where | quote }}", VALUES["ingest"]["where"])
            parse([word.strip() for word in filled.split(",")])


def test_every_variable_is_a_setting() -> None:
    known = {f"SPEECHMILL_{name.upper()}" for name in Settings.model_fields} | {"SPEECHMILL_MEDIA", "SPEECHMILL_MODELS"}
    texts = [(INFRA / "compose.yaml").read_text("utf-8"), (INFRA / "docker/Dockerfile").read_text("utf-8")]
    texts += [(CHART / "values.yaml").read_text("utf-8"), *TEMPLATES.values()]
    for text in texts:
        assert settings_named(text) <= known


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

    for text in ((INFRA / "compose.yaml").read_text("utf-8"), *TEMPLATES.values()):
        for name in re.findall(r"\bPREFECT_[A-Z0-9_]+\b", text):
            assert hasattr(prefect.settings, name) or name.startswith("PREFECT_REDIS_"), name


def test_settings_of_containers_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values in compose and chart are values that the settings take."""
    for service in OURS.values():
        with monkeypatch.context() as patch:
            for name, value in service["environment"].items():
                if name.startswith("SPEECHMILL_") and not name.endswith("_FILE"):
                    patch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
            assert Settings(home=tmp_path).source_roots == ("s3://studio/", "/media")
    with monkeypatch.context() as patch:
        for name, value in VALUES["settings"].items():
            patch.setenv(name, value)
        assert Settings(home=tmp_path).objects_url == "s3://studio/objects"


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
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "for a proxy with a login, not for the world"


@pytest.mark.parametrize("name", sorted(OURS))
def test_whoever_reads_strangers_files_can_call_nobody_else(name: str) -> None:
    assert OURS[name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_no_service_is_killed_within_its_own_time_to_stop() -> None:
    shutdown_s = Settings.model_fields["shutdown_s"].default
    for service in OURS.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > float(
            service["environment"]["SPEECHMILL_SHUTDOWN_S"]
        )
    assert VALUES["terminationGraceSeconds"] > shutdown_s


def test_no_secret_is_written_in_the_files() -> None:
    """Secrets are files that a script makes, and every one that is named is made."""
    made = set(re.findall(r"write (\w+)", (INFRA / "secrets.sh").read_text("utf-8")))
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} <= made
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if any(word in name for word in ("PASSWORD", "SECRET", "KEY", "DATABASE_URL", "BROKER_URL")):
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


def test_workers_are_scaled_by_the_lists_that_hold_their_messages() -> None:
    steps = re.search(r"range \$list := list (.*) }}", TEMPLATES["scaling.yaml"])
    assert steps is not None
    endings = [json.loads(word) for word in steps.group(1).split()]
    for queue in Queue:
        scaled = {f"speechmill:{queue}{ending}" for ending in endings}
        assert scaled == {name for name in lists(queue) if ".v" not in name.removeprefix(f"speechmill:{queue}")}
    for worker in VALUES["workers"].values():
        assert worker["queue"] in list(Queue)


def test_templates_use_values_that_there_are() -> None:
    for text in TEMPLATES.values():
        for path in re.findall(r"\.Values\.([A-Za-z.]+)", text):
            at: Any = VALUES
            for part in path.split("."):
                assert part in at, path
                at = at[part]
        for part in re.findall(r"\$worker\.([A-Za-z]+)", text):
            assert all(part in worker for worker in VALUES["workers"].values()), part


def test_the_chart_renders(tmp_path: Path) -> None:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not installed on this machine: the chart's templates are not rendered here")
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([helm, "lint", "--strict", CHART], check=True, env=env)
    rendered = subprocess.run([helm, "template", "mill", CHART], check=True, env=env, capture_output=True, text=True)
    kinds = {document["kind"] for document in yaml.safe_load_all(rendered.stdout) if document}
    assert {"Deployment", "ScaledObject", "NetworkPolicy", "PodDisruptionBudget", "Job", "ConfigMap"} <= kinds
