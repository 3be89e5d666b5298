"""The Helm chart, rendered by Helm's own engine: what a cluster is asked for is well formed, and fits the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from model_worker.broker import lists
from model_worker.messages import Queue
from speechmill.settings import Settings
from tests.operations.handed import INFRA, parse, settings_known

helm = pytest.importorskip("helm_python", reason="Helm's engine is there for x86-64 only")

CHART = INFRA / "helm/speechmill"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
OLDEST = re.search(r">=(\d+\.\d+\.\d+)", (CHART / "Chart.yaml").read_text("utf-8"))
CHOICES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "as little as may be": {"keda": {"enabled": False}, "ingest": {"enabled": False}, "serve": {"replicas": 0}},
    "with everything": {
        "gc": {"schedule": "0 4 * * *", "arguments": ["--forget", "180"]},
        "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
    },
    "on Amazon": {"settings": {"SPEECHMILL_S3_ENDPOINT_URL": "", "SPEECHMILL_OBJECTS_URL": "s3://bucket/objects"}},
}
"""What operators may choose."""


def rendered(**values: Any) -> list[dict[str, Any]]:
    """Everything that the cluster is asked for, in the order of the files."""
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(values, name="mill", namespace="speech", revision=3)
    files = {Path(name).name: text for name, text in texts.items() if name.endswith(".yaml")}
    return [found for text in files.values() for found in yaml.safe_load_all(text) if found]


def pods(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that may run, by the name of what starts it."""
    for found in manifests:
        spec = found.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield found["metadata"]["name"], spec["template"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@pytest.mark.parametrize("choice", CHOICES)
def test_the_chart_is_one_that_helm_and_kubernetes_take(choice: str) -> None:
    linted = helm.lint(CHART, CHOICES[choice], strict=True)
    assert (linted["errors"], [found for found in linted["messages"] if found["severity"] > 1]) == ([], [])
    assert OLDEST is not None
    for found in rendered(**CHOICES[choice]):
        if found["apiVersion"].partition("/")[0] not in ("keda.sh", "monitoring.coreos.com"):
            for version in (OLDEST[1], kubernetes_validate.latest_version()):
                kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"settings": {"SPEECHMILL_DATABASE_URL": "postgresql://mill:secret@db/mill"}},
        {"settings": {"SPEECHMILL_DROP_FOLDER": "s3://elsewhere"}},
        {"image": {"cpu": "speechmill:latest"}},
        {"ingest": {"where": "s3://studio/in"}},
        {"workers": {"speech": {"queue": "cpu.other"}}},
    ],
)
def test_values_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(chart.merge_values(wrong))


def test_pods_run_commands_that_exist() -> None:
    for choice in CHOICES.values():
        for name, pod in pods(rendered(**choice)):
            for container in containers(pod):
                assert "command" not in container, f"{name} starts what the image starts"
                parse(container["args"])


def test_no_worker_meets_tables_of_another_version() -> None:
    """Those of `serve` and `ingest` bring them up to date themselves."""
    for name, pod in pods(rendered()):
        started = [container["args"][0] for container in containers(pod)]
        assert started in (["serve"], ["ingest"], ["gc"], ["migrate", "worker"]), name


def test_no_pod_has_more_rights_than_it_needs() -> None:
    for name, pod in pods(rendered()):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"], name


def test_every_pod_is_under_the_network_policy_and_of_one_deployment() -> None:
    manifests = rendered()
    (policy,) = (found for found in manifests if found["kind"] == "NetworkPolicy")
    held = policy["spec"]["podSelector"]["matchLabels"]
    labelled = {name: pod["metadata"]["labels"] for name, pod in pods(manifests)}
    assert all(held.items() <= labels.items() for labels in labelled.values())
    for found in manifests:
        if found["kind"] in ("Deployment", "PodDisruptionBudget"):
            selector = found["spec"]["selector"]["matchLabels"]
            chosen = [name for name, labels in labelled.items() if selector.items() <= labels.items()]
            assert chosen == [found["metadata"]["name"]]


@pytest.mark.parametrize(("endpoint", "outside"), [("", [443]), ("http://s3.studio:8333", [])])
def test_pods_call_the_services_that_the_settings_name_and_nobody_else(endpoint: str, outside: list[int]) -> None:
    (policy,) = (
        found["spec"]
        for found in rendered(settings={"SPEECHMILL_S3_ENDPOINT_URL": endpoint})
        if found["kind"] == "NetworkPolicy"
    )
    called = [
        (port["port"], where["ipBlock"]["cidr"])
        for rule in policy["egress"]
        for where in rule["to"]
        if "ipBlock" in where
        for port in rule["ports"]
    ]
    assert [port for port, cidr in called if cidr == "0.0.0.0/0"] == outside
    assert {port for port, _ in called} - {443} == {53, 5432, 6379, 8333, 4200}
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_settings_of_pods_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = rendered()
    (held,) = (found["data"] for found in manifests if found["kind"] == "ConfigMap")
    own = [variable for _, pod in pods(manifests) for made in containers(pod) for variable in made.get("env", ())]
    for variables in (held, {variable["name"]: variable.get("value", "") for variable in own}):
        assert {name for name in variables if name.startswith("SPEECHMILL_")} <= settings_known()
    for name, value in held.items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)
    chosen = Settings(home=tmp_path)
    assert (chosen.objects_url, chosen.drop_folder) == ("s3://studio/objects", VALUES["ingest"]["where"])


def test_no_pod_is_killed_within_its_own_time_to_stop() -> None:
    for name, pod in pods(rendered()):
        grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)  # Kubernetes' own
        assert name.endswith("-gc") or grace_s > Settings.model_fields["shutdown_s"].default, name


def test_prometheus_asks_every_service_and_has_the_alerts_that_fit() -> None:
    manifests = rendered(monitoring={"enabled": True}, ingest={"enabled": False})
    (asked,) = (found["spec"] for found in manifests if found["kind"] == "PodMonitor")
    (endpoint,) = asked["podMetricsEndpoints"]
    for name, pod in pods(manifests):
        shows = any(port["name"] == endpoint["port"] for made in containers(pod) for port in made.get("ports", ()))
        assert shows is ("-gc" not in name)
        assert asked["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (rules,) = (found["spec"]["groups"] for found in manifests if found["kind"] == "PrometheusRule")
    given = yaml.safe_load((CHART / "alerts.yaml").read_text("utf-8"))["groups"]
    assert [rule for rule in given[0]["rules"] if rule["alert"] != "SpeechmillNobodyWatches"] == rules[0]["rules"]
    assert len(rules[0]["rules"]) == len(given[0]["rules"]) - 1, "nobody is missed who was not to be there"


def test_workers_are_scaled_by_the_lists_that_hold_their_messages() -> None:
    manifests = rendered()
    worked = {name: pod["spec"]["containers"][0]["args"][2] for name, pod in pods(manifests) if "-worker-" in name}
    assert set(worked.values()) == set(Queue)
    for found in manifests:
        if found["kind"] == "ScaledObject":
            queue = Queue(worked[found["spec"]["scaleTargetRef"]["name"]])
            scaled = {trigger["metadata"]["listName"] for trigger in found["spec"]["triggers"]}
            assert scaled == {name for name in lists(queue) if ".v" not in name.removeprefix(f"speechmill:{queue}")}


def test_templates_use_values_that_there_are() -> None:
    """Helm takes what is not there for nothing, and says nothing."""
    for path in sorted((CHART / "templates").iterdir()):
        text = path.read_text("utf-8")
        for value in re.findall(r"\.Values\.([A-Za-z.]+)", text):
            at: Any = VALUES
            for part in value.split("."):
                assert part in at, value
                at = at[part]
        for part in re.findall(r"\$worker\.([A-Za-z]+)", text):
            assert all(part in worker for worker in VALUES["workers"].values()), part
