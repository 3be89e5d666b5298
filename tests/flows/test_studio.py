"""A studio in use: jobs from forms, stopped, lost, approved; measured in Prefect, in the catalog and on the disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.flows.studio import ONE_STUDIO, REHEARSAL, SECRETS, Studio

pytestmark = ONE_STUDIO


def film(folder: Path, **more: Any) -> dict[str, Any]:
    """The form of a dub, filled in."""
    return {
        "source": str(folder / "talk.mp4"),
        "script": str(folder / "talk.en.srt"),
        "targets": ["es"],
        "engines": REHEARSAL,
        **more,
    }


def long_dub(long_recording: dict[str, str], *targets: str) -> dict[str, Any]:
    return {**long_recording, "targets": list(targets), "engines": REHEARSAL}


def runner_of(studio: Studio) -> int:
    """The process of ``speechmill serve``; `up` starts another when it is gone."""
    mine = studio.processes(SPEECHMILL_HOME=str(studio.home))
    [runner] = [pid for pid in mine if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"flows.cli\0serve\0")]
    return runner


def ends(studio: Studio, job: str) -> list[str]:
    """How the runs of a job ended, as hooks have told the catalog."""
    return [event["what"] for event in studio.facts(job)["events"] if event["what"].startswith("run-ended")]


def test_a_job_from_the_form_is_a_run_with_its_progress_and_a_link_to_its_report(studio: Studio, folder: Path) -> None:
    run = studio.run("dub", request=film(folder))
    ended = studio.wait(run)
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    job = ended["name"]
    assert studio.facts(job)["state"] == "completed"
    bar = studio.artifacts(f"progress-{job}")
    assert [shown["data"] for shown in bar] == [100]
    [link] = studio.artifacts(f"report-{job}")
    address = re.search(r"\((http://[^)]+)\)", link["data"])
    assert address is not None
    with urllib.request.urlopen(address[1], timeout=10) as page:
        assert job in page.read().decode()
    studio.until(lambda: ends(studio, job), lambda found: any("state Completed" in line for line in found))


@pytest.mark.parametrize(
    "wrong",
    [
        {"profile": "loud"},
        {"engines": {"speak": "parrot"}},
        {"background": "shout"},
        {"approve": ["everything"]},
        {"speakers": 0},
        {"targets": []},
        {"targets": ["not a language"]},
        {"password": "hunter2"},
    ],
)
def test_a_form_that_is_filled_in_wrongly_is_refused_before_anything_runs(
    studio: Studio, folder: Path, wrong: dict[str, Any]
) -> None:
    answer = studio.create("dub", request=film(folder, **wrong))
    assert answer.status == 409, answer.body
    assert next(iter(wrong)) in str(answer.body)


def test_what_only_the_run_can_see_is_told_in_its_state(studio: Studio, folder: Path) -> None:
    ended = studio.wait(studio.run("dub", request=film(folder, source=str(folder / "missing.mp4"))))
    assert ended["state"]["type"] == "FAILED"
    assert "missing.mp4" in ended["state"]["message"]


def test_a_run_that_fails_has_told_the_catalog_so(studio: Studio, folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"  # only in its sound and picture, which nobody looks at before there is a job
    remuxed = ["-c", "copy", "-movflags", "+faststart", damaged]
    subprocess.run(["ffmpeg", "-v", "error", "-i", folder / "talk.mp4", *remuxed], check=True)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    run = studio.run("dub", request=film(folder, source=str(damaged), targets=["pl"]))
    ended = studio.wait(run)
    assert ended["state"]["type"] == "FAILED", ended["state"]
    job = ended["name"]
    assert studio.facts(job)["state"] == "failed"
    studio.until(lambda: ends(studio, job), lambda found: any("state Failed" in line for line in found))


def test_a_long_job_is_few_task_runs_shows_what_needs_a_person_and_resumes_after_its_process_was_killed(
    studio: Studio, long_recording: dict[str, str]
) -> None:
    run = studio.run("dub", request=long_dub(long_recording, "es", "fr"))
    job = studio.job_of(run)
    studio.wait_for_stage(job, "master es")  # everything of the first language is spoken
    [process] = studio.processes(PREFECT__FLOW_RUN_ID=run)
    os.kill(process, signal.SIGKILL)
    assert studio.wait(run)["state"]["type"] == "CRASHED"
    studio.until(lambda: ends(studio, job), lambda found: any("state Crashed" in line for line in found))
    assert studio.facts(job)["state"] == "failed"

    again = studio.run("retake", request={"job": job})
    ended = studio.wait(again)
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert ended["name"] == job
    report = studio.report(job)
    spoken = {stage["name"]: stage for stage in report["stages"] if stage["name"].startswith("speak")}
    assert spoken["speak es"]["made"] == 0
    assert report["work"]["speak_calls"] <= sum(line["takes"] for line in report["targets"]["fr"]["lines"])
    assert 5 < len(studio.task_runs(again)) < 50
    reviewed = [
        line for target in report["targets"].values() for line in target["lines"] if line["verdict"] != "passed"
    ]
    tables = studio.artifacts(f"review-{job}")
    assert len(tables) == (1 if reviewed else 0)
    if reviewed:
        assert len(json.loads(tables[0]["data"])) == min(500, len(reviewed))


@pytest.mark.parametrize("by", ["command", "prefect"])
def test_a_cancelled_job_stops_at_once_leaves_nothing_and_can_be_gone_on_with(
    studio: Studio, long_recording: dict[str, str], by: str
) -> None:
    language = {"command": "it", "prefect": "pt"}[by]
    run = studio.run("dub", request=long_dub(long_recording, language))
    job = studio.job_of(run)
    studio.wait_for_stage(job, f"speak {language}")
    if by == "command":
        assert studio.command("cancel", job).returncode == 0
    else:
        asked = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        assert studio.ask(f"flow_runs/{run}/set_state", asked).status in (200, 201)
    assert studio.wait(run)["state"]["type"] == "CANCELLED"
    studio.until(lambda: ends(studio, job), lambda found: any("Cancel" in line for line in found) or by == "command")
    assert studio.facts(job)["state"] == "cancelled"
    assert not (studio.home / "out" / job).exists()
    studio.until(lambda: studio.processes(PREFECT__FLOW_RUN_ID=run), lambda found: not found)
    left = [path for path in (studio.home / "scratch").glob("run-*/*") if path.name != ".alive"]
    assert left == []
    if by == "prefect":  # after the command it is the same, and takes as long as the job
        assert studio.command("retake", job, "--no-prefect").returncode == 0


def answered(studio: Studio, run: str, **given: str) -> bool:
    """Whether the server takes the answer."""
    return bool(studio.ask(f"flow_runs/{run}/resume", {"run_input": given}).body["status"] == "ACCEPT")


def paused(studio: Studio, run: str, after: str = "") -> str:
    """Wait until a run asks a person; the key of the question, another than the one before."""

    def asks(found: dict[str, Any]) -> bool:
        details = found["state"]["state_details"]
        keys = details.get("run_input_keyset") or {}
        return (found["state"]["type"] == "PAUSED" and keys.get("schema") != after) or found["state"][
            "type"
        ] == "FAILED"

    found = studio.until(lambda: studio.of(run), asks)
    assert found["state"]["type"] == "PAUSED", found["state"]
    question = str(found["state"]["state_details"]["run_input_keyset"]["schema"])
    # Prefect says that a run is paused before it has the form, and refuses answers in between
    studio.until(lambda: studio.ask(f"flow_runs/{run}/input/{question}").status, lambda status: status == 200)
    return question


def test_a_person_approves_corrects_and_rejects(studio: Studio, folder: Path) -> None:
    run = studio.run("dub", request=film(folder, approve=["transcript", "final"], background="drop"))
    first = paused(studio, run)
    job = studio.job_of(run)
    [table] = studio.artifacts(f"approve-{job}-transcript")
    assert "The train leaves at nine." in table["data"]
    assert not answered(studio, run, decision="perhaps")  # the server refuses what the form does not have
    assert answered(studio, run, decision="reject", reason=" ")
    second = paused(studio, run, after=first)  # asked again, since a rejection needs a reason
    changed = studio.command("edit", job, "0002", "--lang", "en", "--text", "Thank you. I will take three tickets.")
    assert changed.returncode == 0, changed.stderr
    assert answered(studio, run, decision="approve")

    paused(studio, run, after=second)
    waits = studio.facts(job)["waits_for"]
    assert waits["of"] == "final"
    assert not (studio.home / "out" / job).exists()
    listened = f"http://127.0.0.1:{studio.env['SPEECHMILL_REPORTS_PORT']}/{job}/to-approve/report.html"
    with urllib.request.urlopen(listened, timeout=10) as page:
        assert "three tickets" in page.read().decode()
    assert answered(studio, run, decision="reject", reason="The music is too loud.")
    ended = studio.wait(run, "CANCELLED")
    assert ended["state"]["type"] == "CANCELLED"
    assert "The music is too loud." in ended["state"]["message"]
    facts = studio.facts(job)
    assert facts["state"] == "cancelled"
    assert any("The music is too loud." in event["what"] for event in facts["events"])
    assert not (studio.home / "out" / job).exists()

    again = studio.run("retake", request={"job": job})
    paused(studio, again)  # only about what was not approved: the delivery
    assert studio.facts(job)["waits_for"]["of"] == "final"
    assert answered(studio, again, decision="approve")
    assert studio.wait(again)["state"]["type"] == "COMPLETED"
    assert "three" in studio.report(job)["targets"]["es"]["lines"][1]["source_text"]


def test_a_person_corrects_a_translation_before_it_is_spoken(studio: Studio, folder: Path) -> None:
    """And is asked for each language, and not again for what was approved."""
    run = studio.run("dub", request=film(folder, approve=["translation"], targets=["gl", "ca"], background="drop"))
    first = paused(studio, run)
    job = studio.job_of(run)
    assert studio.facts(job)["waits_for"]["of"] == "translation gl"
    [table] = studio.artifacts(f"approve-{job}-translation-gl")
    assert "The train leaves at nine." in table["data"]  # the original beside it
    changed = studio.command("edit", job, "0001", "--lang", "gl", "--text", "Bos días. O tren sae ás nove.")
    assert changed.returncode == 0, changed.stderr
    assert answered(studio, run, decision="approve")
    paused(studio, run, after=first)
    assert studio.facts(job)["waits_for"]["of"] == "translation ca"
    assert answered(studio, run, decision="reject", reason="Use the polite form.")
    assert studio.wait(run)["state"]["type"] == "CANCELLED"
    again = studio.run("retake", request={"job": job})
    paused(studio, again)
    assert studio.facts(job)["waits_for"]["of"] == "translation ca"
    assert answered(studio, again, decision="approve")
    ended = studio.wait(again)
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    lines = studio.report(job)["targets"]["gl"]["lines"]
    assert lines[0]["text"] == "Bos días. O tren sae ás nove."


def test_a_person_corrects_the_script_of_an_episode_before_it_is_spoken(studio: Studio, tmp_path: Path) -> None:
    article = tmp_path / "boats.md"
    article.write_text("# Boats\n\nThe harbour has twelve boats. Two of them are red.\n", "utf-8")
    run = studio.run(
        "podcast", request={"source": str(article), "engines": {"speak": "rehearsal"}, "approve": ["script"]}
    )
    paused(studio, run)
    job = studio.job_of(run)
    lines = json.loads(studio.command("lines", job, "--json").stdout)["lines"]
    line = next(line for line in lines if "red" in line["text"])
    changed = studio.command("edit", job, line["id"], "--text", "Two of them are yellow.")
    assert changed.returncode == 0, changed.stderr
    assert answered(studio, run, decision="approve")
    ended = studio.wait(run)
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    texts = [line["text"] for line in studio.report(job)["episode"]["lines"]]
    assert "Two of them are yellow." in texts
    assert studio.create("podcast", request={"source": str(article), "format": "opera"}).status == 409


def test_a_job_is_cancelled_while_it_waits_for_a_person(studio: Studio, folder: Path) -> None:
    run = studio.run("dub", request=film(folder, approve=["translation"], targets=["de"]))
    paused(studio, run)
    job = studio.job_of(run)
    assert studio.command("cancel", job).returncode == 0
    assert studio.wait(run)["state"]["type"] == "CANCELLED"
    assert studio.facts(job)["state"] == "cancelled"


def test_a_film_that_is_dropped_is_dubbed_by_a_run_of_its_own(studio: Studio, folder: Path) -> None:
    there = studio.home / "drop"
    (there / "in" / "dropped.job.json").write_text(json.dumps({"targets": ["sv"], "engines": REHEARSAL}), "utf-8")
    shutil.copy(folder / "talk.mp4", there / "in" / "dropped.mp4")
    [report] = studio.until(lambda: list((there / "done").glob("*/*/report.json")), bool)
    job = json.loads(report.read_text("utf-8"))["job"]
    [run] = studio.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": [job]}}}).body
    assert run["parameters"]["job"] == job
    studio.until(lambda: list((there / "in").iterdir()), lambda left: not left)


def test_what_nobody_watches_is_looked_at_by_a_run_and_published_by_who_made_it(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    """And a batch waits for its jobs without taking their places, of which there are two. Both may ask for what no form
    offers: one engine for everything, a profile of one's own."""
    there = tmp_path / "place"
    (there / "in").mkdir(parents=True)
    options = {"engine": "rehearsal", "profile": "club.toml"}
    for beside in (tmp_path, there / "in"):
        (beside / "club.toml").write_text("[loudness]\nintegrated_lufs = -20.0\ntrue_peak_dbtp = -2.0\n", "utf-8")
    (there / "in" / "talk.job.json").write_text(json.dumps({"targets": ["da"], **options}), "utf-8")
    shutil.copy(folder / "talk.mp4", there / "in" / "talk.mp4")
    options["script"] = str(folder / "talk.en.srt")
    films = [{"source": str(folder / "talk.mp4"), "languages": [tag], "options": options} for tag in ("fi", "nb")]
    manifest = tmp_path / "films.jsonl"
    manifest.write_text("\n".join(map(json.dumps, [*films, {"source": "no.mp4", "languages": ["fi"]}])), "utf-8")

    looked = studio.run("ingest", request={"where": str(there)})
    batch = studio.run("batch", request={"manifest": str(manifest), "at_once": 2, "out": str(tmp_path / "films")})
    ended = studio.wait(looked)
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert "1 accepted" in ended["state"]["message"]

    ended = studio.wait(batch)
    assert (ended["state"]["type"], ended["state"]["name"]) == ("COMPLETED", "RowsFailed"), ended["state"]
    report = json.loads((tmp_path / "films" / "batch.json").read_text("utf-8"))
    assert [row["state"] for row in report["rows"]] == ["done", "done", "failed"]
    for row, language in zip(report["rows"], ("fi", "nb"), strict=False):
        assert Path(row["out"], f"talk.{language}.mp4").exists()
    [table] = studio.artifacts(report["batch"])
    assert "no.mp4" in table["data"]

    [marker] = studio.until(lambda: list((there / "done").glob("*/*/delivery.json")), bool)
    studio.until(lambda: list((there / "in").iterdir()), lambda left: not left)
    assert (marker.parent / "talk.da.mp4").exists()
    report = json.loads((marker.parent / "report.json").read_text("utf-8"))
    assert report["targets"]["da"]["profile"] == "club"
    assert report["targets"]["da"]["loudness"]["integrated_lufs"] == pytest.approx(-20.0, abs=0.5)


@pytest.mark.parametrize(
    ("deployment", "wrong"),
    [("ingest", {"where": ""}), ("batch", {}), ("batch", {"manifest": "a.csv", "at_once": 0})],
)
def test_forms_of_what_looks_after_jobs_are_judged_too(studio: Studio, deployment: str, wrong: dict[str, Any]) -> None:
    assert studio.create(deployment, request=wrong).status == 409


def test_the_server_takes_what_prefects_own_command_line_sends(studio: Studio) -> None:
    """Nulls where it means a default: what `prefect deploy --all` ends at where the server's fastapi refuses them."""
    nothing = {"limit": None, "offset": None}
    assert studio.ask("deployments/filter", nothing).status == 200
    assert studio.ask("work_pools/filter", nothing).status == 200


def test_commands_beside_it_report_to_its_server(studio: Studio, folder: Path) -> None:
    ran = studio.command(
        "dub", folder / "talk.mp4", "--to", "nl", "--engine", "rehearsal", "--script", folder / "talk.en.srt", "--json"
    )
    assert ran.returncode == 0, ran.stderr
    job = json.loads(ran.stdout)["job"]
    [run] = studio.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": [job]}}}).body
    assert run["state"]["type"] == "COMPLETED"


def test_a_run_whose_runner_alone_is_killed_goes_on_to_its_end(studio: Studio, long_recording: dict[str, str]) -> None:
    run = studio.run("dub", request=long_dub(long_recording, "cs"))
    job = studio.job_of(run)
    studio.wait_for_stage(job, "speak cs")
    os.kill(runner_of(studio), signal.SIGKILL)
    ended = studio.wait(run)
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert studio.facts(job)["state"].startswith("completed")
    studio.until(lambda: studio.processes(PREFECT__FLOW_RUN_ID=run), lambda found: not found)


def test_nothing_that_a_studio_has_written_holds_its_secrets(studio: Studio, folder: Path) -> None:
    """Prefect's database with parameters, logs and artifacts, our catalog, reports, logs: after runs that went well,
    and one that did not."""
    assert studio.wait(studio.run("dub", request=film(folder)))["state"]["type"] == "COMPLETED"
    assert studio.wait(studio.run("dub", request=film(folder, source="no.mp4")))["state"]["type"] == "FAILED"
    assert studio.command("doctor").returncode in (0, 4)
    written = [studio.home.parent / "up.log", *(path for path in studio.home.rglob("*") if path.is_file())]
    assert {"prefect.db", "catalog.db", "report.json"} <= {path.name for path in written}
    for secret in SECRETS.values():
        assert [path for path in written if secret.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_a_run_that_is_lost_with_its_runner_is_found_crashed_and_gone_on_with(
    studio: Studio, long_recording: dict[str, str]
) -> None:
    run = studio.run("dub", request=long_dub(long_recording, "ro"))
    job = studio.job_of(run)
    studio.wait_for_stage(job, "speak ro")
    [process] = studio.processes(PREFECT__FLOW_RUN_ID=run)
    for pid in (runner_of(studio), process):
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    assert studio.wait(run)["state"]["type"] == "CRASHED"
    assert time.monotonic() - began < 90
    studio.until(lambda: studio.facts(job)["state"], lambda state: state == "failed")
    # `up` has started another runner meanwhile.
    ended = studio.wait(studio.run("retake", request={"job": job}))
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    report = studio.report(job)
    takes = sum(line["takes"] for line in report["targets"]["ro"]["lines"])
    assert report["work"]["speak_calls"] < takes  # what was spoken before is not spoken again
