"""What happens to a file that is dropped into a folder of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from flows.settling import settle_own
from speechmill.errors import BadInput
from speechmill.settings import settings
from storage.catalog import JobState
from storage.places import place_at
from tests.ingest.conftest import JOB, Studio, listed

CLUB = "[loudness]\nintegrated_lufs = -20.0\ntrue_peak_dbtp = -2.0\n"


def put(folder: Path, name: str, body: bytes | str) -> Path:
    path = folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return path


def reason(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "quarantine").glob("*/reason.json")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def test_a_film_with_its_sidecar_gets_a_job_and_then_lies_beside_its_delivery(
    studio: Studio, drop: Path, tone: bytes
) -> None:
    put(drop, "talk.wav", tone)
    put(drop, "talk.en.vtt", "WEBVTT\n")
    put(drop, "club.toml", CLUB)
    put(drop, "talk.job.json", '{"targets": ["es", "fr"], "script": "talk.en.vtt", "profile": "club.toml"}')
    (job,) = studio.sweeper().sweep().accepted
    asked = studio.catalog.job(job)
    assert asked.kind == "dub"
    assert asked.request["targets"] == ["es", "fr"]
    assert asked.request["script"] == str(drop / "in" / "talk.en.vtt")
    assert asked.request["profile"] == str(drop / "in" / "club.toml")
    assert studio.sweeper().sweep().idle
    assert len(listed(drop / "in")) == 4  # nothing leaves before it is published

    studio.finish(job)
    assert studio.sweeper().sweep().published == 1
    done = drop / "done" / f"{asked.created_at:%Y-%m-%d}" / job
    assert listed(drop) == [
        f"done/{asked.created_at:%Y-%m-%d}/{job}/{name}"
        for name in (
            "delivery.json", "report.json", "source/club.toml", "source/talk.en.vtt", "source/talk.job.json",
            "source/talk.wav", "talk.es.m4a",
        )
    ]  # fmt: skip
    assert (done / "source" / "talk.wav").read_bytes() == tone
    marker = json.loads((done / "delivery.json").read_text("utf-8"))
    assert set(marker["files"]) == {"report.json", "talk.es.m4a"}
    assert studio.states() == {"in/talk.wav": "done"}
    # A retake finds the film where it is now.
    assert studio.catalog.job(job).request["source"] == str(done / "source" / "talk.wav")
    assert studio.catalog.job(job).request["script"] == str(done / "source" / "talk.en.vtt")
    assert studio.catalog.job(job).request["profile"] == str(done / "source" / "club.toml")


@pytest.mark.parametrize(
    ("named", "meant"),
    [("s3://studio/in", "s3://studio"), ("s3://studio/in/", "s3://studio"), ("/srv/studio/in", "/srv/studio")],
)
def test_the_folder_that_files_are_dropped_into_is_not_taken_for_the_drop_folder(named: str, meant: str) -> None:
    with pytest.raises(BadInput) as caught:
        place_at(named, settings())
    assert caught.value.hint == f"name that: {meant}"


def test_whoever_made_a_delivery_publishes_it(studio: Studio, drop: Path, tone: bytes) -> None:
    put(drop, "talk.wav", tone)
    put(drop, "talk.job.json", JOB)
    (job,) = studio.sweeper().sweep().accepted
    settle_own(job, studio.settings, studio.catalog)  # too early: nothing happens
    assert len(listed(drop)) == 2
    studio.finish(job)
    settle_own(job, studio.settings, studio.catalog)
    settle_own(job, studio.settings, studio.catalog)
    assert listed(drop / "in") == []
    assert len(list((drop / "done").glob(f"*/{job}/delivery.json"))) == 1
    assert studio.states() == {"in/talk.wav": "done"}
    assert studio.sweeper().sweep().idle


def test_what_cannot_be_published_by_who_made_it_is_left_to_the_sweepers(
    studio: Studio, drop: Path, tone: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(drop, "talk.wav", tone)
    put(drop, "talk.job.json", JOB)
    (job,) = studio.sweeper().sweep().accepted
    studio.finish(job)
    drop.rename(drop.with_name("elsewhere"))
    settle_own(job, studio.settings, studio.catalog)
    assert "is not published yet" in caplog.text
    drop.with_name("elsewhere").rename(drop)
    assert studio.sweeper().sweep().published == 1


def test_a_document_needs_no_sidecar(studio: Studio, drop: Path) -> None:
    put(drop, "note.md", "# Hello\n\nWorld.\n")
    (job,) = studio.sweeper().sweep().accepted
    assert studio.catalog.job(job).kind == "podcast"


def test_a_file_that_still_grows_waits_until_it_stays_the_same(studio: Studio, drop: Path, tone: bytes) -> None:
    studio.settings.drop_min_age_s = 60
    film = put(drop, "talk.wav", tone[:100])
    put(drop, "talk.job.json", JOB)
    for end in (200, 300, len(tone)):
        assert studio.sweeper().sweep().waiting
        film.write_bytes(tone[:end])
        assert studio.sweeper().sweep().accepted == ()
        assert studio.count("drops") == 2  # a look at half a file leaves nothing behind
    studio.sql("UPDATE drops SET first_seen_s = first_seen_s - 61")
    assert len(studio.sweeper().sweep().accepted) == 1


def test_a_clock_that_is_wrong_on_the_file_server_changes_nothing(studio: Studio, drop: Path, tone: bytes) -> None:
    film = put(drop, "talk.wav", tone)
    put(drop, "talk.job.json", JOB)
    os.utime(film, (4e9, 4e9))  # in the year 2096
    assert len(studio.sweeper().sweep().accepted) == 1


@pytest.mark.parametrize("name", ["a.mp4.part", "a.tmp", "a.mp4~", "a.mp4.crdownload", ".hidden.mp4", ".sub/a.mp4"])
def test_files_that_somebody_still_writes_are_not_looked_at(studio: Studio, drop: Path, name: str) -> None:
    put(drop, name, b"x")
    assert studio.sweeper().sweep().listed == 0


def test_links_are_no_files(studio: Studio, drop: Path, tmp_path: Path, tone: bytes) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.wav").write_bytes(tone)
    (drop / "in" / "talk.wav").symlink_to(tmp_path / "elsewhere" / "secret.wav")
    (drop / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    studio.settings.drop_targets = ("es",)
    assert studio.sweeper().sweep().listed == 0
    assert studio.sweeper().sweep(near="in/folder/secret.wav").listed == 0


def test_a_film_without_a_sidecar_uses_the_defaults_of_its_folder(studio: Studio, drop: Path, tone: bytes) -> None:
    put(drop, "defaults.job.json", '{"targets": ["fr"], "background": "drop", "format": "dialogue"}')
    put(drop, "podcast/defaults.job.json", '{"targets": ["de"]}')
    put(drop, "talk.wav", tone)
    put(drop, "podcast/talk.wav", tone)
    put(drop, "podcast/talk.job.json", '{"background": "duck"}')
    put(drop, "note.md", "# Hello\n\nWorld.\n")
    requests = [studio.catalog.job(job).request for job in studio.sweeper().sweep().accepted]
    plain, deep = sorted((each for each in requests if "targets" in each), key=lambda each: str(each["source"]))[::-1]
    assert (plain["targets"], plain["background"], plain["profile"]) == (["fr"], "drop", "youtube")
    assert (deep["targets"], deep["background"], deep["profile"]) == (["de"], "duck", "podcast")
    assert [each["format"] for each in requests if "format" in each] == ["dialogue"]


def test_a_film_that_nobody_says_anything_of_waits_for_its_sidecar_and_then_is_put_away(
    studio: Studio, drop: Path, tone: bytes
) -> None:
    studio.settings.sidecar_grace_s = 60
    put(drop, "talk.wav", tone)
    assert studio.sweeper().sweep().waiting == 1
    studio.settings.sidecar_grace_s = 0
    assert studio.sweeper().sweep().quarantined == 1
    assert "talk.job.json" in reason(drop)["hint"]
    assert listed(drop / "in") == []


REFUSED: list[tuple[str, bytes | None, str | None, str]] = [
    ("talk.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n", JOB, "unreadable-media"),
    ("talk.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", JOB, "unreadable-media"),
    ("talk.mp4", b"", JOB, "unreadable-media"),
    ("talk.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", JOB, "truncated-media"),
    ("talk.zip", b"PK\3\4", JOB, "unreadable-media"),
    ("odd.xyz", b"Neither a film nor a document.\n", None, "unreadable-media"),
    ("talk.wav", None, '{"targets": ["es"], "langauge": "en"}', "unreadable-sidecar"),
    ("talk.wav", None, '{"targets": ["es"], "source": "/etc/passwd"}', "unreadable-sidecar"),
    ("talk.wav", None, '{"targets": ["es"], "out": "/etc"}', "unreadable-sidecar"),
    ("talk.wav", None, '{"targets": ["es"], "script": "/etc/passwd"}', "forbidden-source"),
    ("talk.wav", None, '{"targets": ["es"], "script": "../../etc/passwd"}', "unreadable-sidecar"),
    ("talk.wav", None, '{"targets": ["es"], "bed": "http://169.254.169.254/x"}', "forbidden-source"),
    ("talk.wav", None, '{"targets": ["xx-no"]}', "unreadable-sidecar"),
    ("talk.wav", None, "[" * 5_000, "unreadable-sidecar"),
    ("talk.wav", None, '{"engines": ' + '{"a": ' * 20 + "1" + "}" * 21, "unreadable-sidecar"),
    ("talk.wav", None, '{"targets": ["es"], "targets": ["fr"]}', "unreadable-sidecar"),
    ("talk.wav", None, '{"targets": ["es"], "script": "' + "x" * 70_000 + '"}', "unreadable-sidecar"),
    ("talk.wav", None, "{", "unreadable-sidecar"),
    ("-i", None, None, "bad-input"),
    ("a\nb.wav", None, None, "bad-input"),
    ("a\\b.wav", None, None, "bad-input"),
]  # fmt: skip


def test_what_cannot_have_a_job_goes_to_quarantine_with_its_reason(studio: Studio, drop: Path, tone: bytes) -> None:
    for number, (name, body, sidecar, _) in enumerate(REFUSED):
        put(drop, f"{number:02}/{name}", tone if body is None else body)
        if sidecar is not None:
            put(drop, f"{number:02}/talk.job.json", sidecar)
    swept = studio.sweeper().sweep()
    assert (swept.rejected, swept.quarantined, swept.accepted) == (len(REFUSED), len(REFUSED), ())
    assert listed(drop / "in") == []
    said = [json.loads(file.read_text("utf-8")) for file in (drop / "quarantine").glob("*/reason.json")]
    found = {each["key"][3:5]: each for each in said}
    assert {at: each["code"] for at, each in found.items()} == {f"{n:02}": case[3] for n, case in enumerate(REFUSED)}
    assert all(each["message"] and each["hint"] for each in said)
    rows = {row.key[3:5]: row for row in studio.catalog.drops(studio.place.url) if row.reason is not None}
    assert {at: row.reason and row.reason["code"] for at, row in rows.items()} == {
        at: each["code"] for at, each in found.items()
    }
    assert studio.count("jobs") == 0
    assert studio.sweeper().sweep().idle


def test_what_bears_the_name_of_a_refused_film_is_put_away_with_it(studio: Studio, drop: Path, tone: bytes) -> None:
    put(drop, "talk.wav", tone)
    put(drop, "talk.job.json", '{"targets": ["es"], "script": "talk.en.srt", "colour": "blue"}')
    put(drop, "talk.en.srt", "1")
    put(drop, "talk.two.wav", tone)  # waits for its sidecar
    put(drop, "talk.two.en.srt", "1")
    studio.settings.sidecar_grace_s = 60
    assert studio.sweeper().sweep().quarantined == 1
    assert listed(drop / "in") == ["talk.two.en.srt", "talk.two.wav"]


def test_a_name_that_no_database_takes_is_put_away_too(studio: Studio, drop: Path, tone: bytes) -> None:
    (drop / "in" / os.fsdecode(b"\xff\xfe.wav")).write_bytes(tone)
    assert studio.sweeper().sweep().quarantined == 1
    (away,) = (drop / "quarantine").glob("*/object")
    assert away.read_bytes() == tone


def test_a_file_larger_than_allowed_is_not_even_opened(studio: Studio, drop: Path, tone: bytes) -> None:
    studio.settings.max_source_bytes = 100
    film = put(drop, "talk.wav", tone)
    put(drop, "talk.job.json", JOB)
    before = film.stat().st_atime_ns
    assert studio.sweeper().sweep().quarantined == 1
    assert reason(drop)["code"] == "limit-exceeded"
    (away,) = (drop / "quarantine").glob("*/talk.wav")
    assert away.stat().st_atime_ns == before


def test_what_the_job_finds_wrong_goes_to_quarantine_and_what_may_go_well_is_tried_again(
    studio: Studio, drop: Path, tone: bytes
) -> None:
    put(drop, "talk.wav", tone)
    put(drop, "talk.job.json", JOB)
    (job,) = studio.sweeper().sweep().accepted
    studio.finish(job, JobState.FAILED, code="disk-full", message="the disk is full; free some space")
    assert studio.sweeper().sweep().idle
    assert studio.catalog.attempts(job) == 2
    studio.handed(job)
    studio.catalog.move_job(job, JobState.RUNNING)
    studio.catalog.move_job(job, JobState.FAILED, code="truncated-media", message="talk.wav is cut; copy it again")
    assert studio.sweeper().sweep().quarantined == 1
    assert reason(drop) | {"code": "truncated-media", "message": "talk.wav is cut", "hint": "copy it again"} == reason(
        drop
    )
    assert listed(drop / "in") == []


def test_a_film_taken_back_out_of_quarantine_is_tried_again(studio: Studio, drop: Path, tone: bytes) -> None:
    put(drop, "talk.wav", tone)
    assert studio.sweeper().sweep().quarantined == 1
    (away,) = (drop / "quarantine").glob("*/talk.wav")
    put(drop, "talk.job.json", JOB)
    away.rename(drop / "in" / "talk.wav")  # the same file, with the same time
    studio.sweeper().sweep()
    assert len(studio.sweeper().sweep().accepted) == 1


def test_a_film_that_is_replaced_after_its_job_was_made_keeps_what_lies_there_now(
    studio: Studio, drop: Path, tone: bytes
) -> None:
    put(drop, "talk.wav", tone)
    put(drop, "talk.job.json", JOB)
    (first,) = studio.sweeper().sweep().accepted
    (drop / "in" / "talk.wav").unlink()
    put(drop, "talk.wav", tone + b"\0\0")
    (second,) = studio.sweeper().sweep().accepted
    studio.finish(first)
    studio.sweeper().sweep()
    assert "in/talk.wav" in [f"in/{name}" for name in listed(drop / "in")]  # it belongs to the second job
    studio.finish(second)
    studio.sweeper().sweep()
    assert (next((drop / "done").glob(f"*/{second}/source/talk.wav"))).read_bytes() == tone + b"\0\0"


SHOW = 'title = "Slow Machines"\nbase_url = "https://mills.net/slow/"\n'


def test_an_episode_is_made_in_the_folder_of_its_show_which_stays_beside_in(studio: Studio, drop: Path) -> None:
    (drop / "shows" / "slow").mkdir(parents=True)
    (drop / "shows" / "slow" / "show.toml").write_text(SHOW)
    put(drop, "slow/defaults.job.json", '{"show": "slow/show.toml"}')
    put(drop, "slow/note.md", "# Hello\n\nWorld.\n")
    (job,) = studio.sweeper().sweep().accepted
    asked = studio.catalog.job(job)
    assert asked.request["show"] == str(drop / "shows" / "slow" / "show.toml")
    assert asked.out == str(drop / "shows" / "slow" / job)  # the feed's address of it leads there
    studio.finish(job)
    assert studio.sweeper().sweep().published == 1
    assert listed(drop / "in") == ["slow/defaults.job.json"]
    assert (drop / "shows" / "slow" / "show.toml").read_text() == SHOW


@pytest.mark.parametrize(
    "named", ["show.toml", "../in/show.toml", "../../etc/passwd", "{in}/show.toml", "nowhere.toml"]
)
def test_a_show_that_would_be_swept_away_with_its_feed_is_refused(studio: Studio, drop: Path, named: str) -> None:
    put(drop, "show.toml", SHOW)
    put(drop, "note.md", "# Hello\n\nWorld.\n")
    put(drop, "note.job.json", json.dumps({"show": named.format(**{"in": drop / "in"})}))
    assert studio.sweeper().sweep().quarantined == 1
    assert "shows/ beside in/" in reason(drop)["hint"]
    assert listed(drop / "in") == ["show.toml"]
