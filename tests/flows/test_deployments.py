"""Forms explain themselves and offer what is installed; both ways of deploying deploy the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.admission import admit_place
from flows.forms import BatchForm, DigestForm, DubbingForm, IngestForm, PodcastForm, RetakeForm
from flows.schedules import SLUGS
from model_worker.engines.registry import engines
from speechmill import profiles
from speechmill.errors import ForbiddenSource
from speechmill.settings import Settings

FILE = Path(__file__).parents[2] / "infra" / "prefect.yaml"


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a form, those inside a field too."""
    for name, field in schema["properties"].items():
        yield name, field
        if "properties" in field:
            yield from fields(field)


@pytest.mark.parametrize("form", [DubbingForm, PodcastForm, DigestForm, RetakeForm, IngestForm, BatchForm])
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
    schedules = [each.pop("schedules", []) for each in written]
    served = [
        {
            "name": deployed.name,
            "entrypoint": deployed.entrypoint,
            "description": deployed.description,
            "tags": [TAG, *deployed.tags],
            "concurrency_limit": {"limit": deployed.most_runs, "collision_strategy": "CANCEL_NEW"}
            if deployed.skips
            else deployed.most_runs,
            "work_pool": {"name": TAG, "work_queue_name": "looking-after" if deployed.looks_after else "cpu.media"},
        }
        for deployed in DEPLOYMENTS
    ]
    assert written == served
    examples = [schedule for each in schedules for schedule in each]
    assert [schedule["slug"] for schedule in examples] == ["daily", SLUGS["ingest"], SLUGS["batch"]]
    assert not any(schedule["active"] for schedule in examples)  # until somebody has named what they are to work on
    DigestForm.model_validate(examples[0]["parameters"]["request"])
    BatchForm.model_validate(examples[2]["parameters"]["request"])


def test_the_drop_folder_is_looked_at_by_a_schedule_only_where_both_are_set(tmp_path: Path) -> None:
    given: dict[str, Any] = {"home": tmp_path}
    assert not Settings(**given).drop_schedule_on
    assert not Settings(**given, drop_schedule_s=300).drop_schedule_on
    assert not Settings(**given, drop_folder="s3://studio").drop_schedule_on
    assert Settings(**given, drop_folder="s3://studio", drop_schedule_s=300).drop_schedule_on


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        ("{root}/a.csv", True),
        ("s3://studio", True),
        ("s3://other", False),
        ("/etc/passwd", False),
        ("{root}/..", False),
    ],
)
def test_forms_from_afar_name_only_places_that_the_operator_has_named(
    tmp_path: Path, named: str, allowed: bool
) -> None:
    (tmp_path / "root").mkdir()
    chosen = Settings(home=tmp_path / "home", source_roots=(str(tmp_path / "root"),), drop_folder="s3://studio")
    judged = nullcontext() if allowed else pytest.raises(ForbiddenSource)
    with judged:
        admit_place(named.format(root=tmp_path / "root"), chosen)


def test_hooks_have_the_parameters_that_prefect_calls_them_with() -> None:
    import inspect

    from flows.deployments import HOOKS

    assert len(HOOKS) == 4
    for [hook] in HOOKS.values():
        assert list(inspect.signature(hook).parameters) == ["flow", "flow_run", "state"]
