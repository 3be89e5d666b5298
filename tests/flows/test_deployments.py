"""Forms explain themselves and offer what is installed; both ways of deploying deploy the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.forms import DubbingForm, PodcastForm, RetakeForm
from model_worker.engines.registry import engines
from speechmill import profiles

FILE = Path(__file__).parents[2] / "infra" / "prefect.yaml"


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a form, those inside a field too."""
    for name, field in schema["properties"].items():
        yield name, field
        if "properties" in field:
            yield from fields(field)


@pytest.mark.parametrize("form", [DubbingForm, PodcastForm, RetakeForm])
def test_every_field_of_a_form_explains_itself_and_has_its_place(form: type[Any]) -> None:
    schema = form.model_json_schema()
    for name, field in fields(schema):
        assert field.get("title"), name
        assert len(field.get("description", "")) > 10 or "$ref" in field, name
        assert "position" in field, name
    places = [field["position"] for field in schema["properties"].values()]
    assert sorted(places) == list(range(len(places)))


def test_choices_are_what_is_installed() -> None:
    for form in (DubbingForm, PodcastForm):
        shown = form.model_json_schema()["properties"]
        assert shown["profile"]["enum"] == list(profiles.names())
        assert shown["engines"]["properties"]["speak"]["enum"] == list(engines())
        assert shown["approve"]["items"]["enum"][-1] == "final"
    assert DubbingForm.model_json_schema()["properties"]["background"]["enum"] == ["duck", "drop"]


def test_prefect_yaml_deploys_what_serve_serves() -> None:
    from flows.deployments import DEPLOYMENTS, TAG

    written = yaml.safe_load(FILE.read_text("utf-8"))["deployments"]
    served = [
        {
            "name": deployed.name,
            "entrypoint": deployed.entrypoint,
            "description": deployed.description,
            "tags": [TAG, *deployed.tags],
            "concurrency_limit": deployed.most_runs,
            "work_pool": {"name": TAG, "work_queue_name": "default"},
        }
        for deployed in DEPLOYMENTS
    ]
    assert written == served


def test_hooks_have_the_parameters_that_prefect_calls_them_with() -> None:
    import inspect

    from flows.deployments import HOOKS

    assert len(HOOKS) == 4
    for [hook] in HOOKS.values():
        assert list(inspect.signature(hook).parameters) == ["flow", "flow_run", "state"]
