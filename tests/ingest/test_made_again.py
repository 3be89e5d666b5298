"""What is made again for a drop folder, since a person corrected it, takes the place of what was delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.running import carry_out
from flows.settling import settle_here, settle_own
from speechmill.errors import Unavailable
from storage.catalog import JobState
from storage.places import FolderPlace
from tests.ingest.conftest import JOB, Studio, listed
from tests.servers import S3Server


def made_again(studio: Studio, job: str) -> None:
    """As ``retake`` does after an edit: another sound, and another name for one file."""
    studio.catalog.move_job(job, JobState.STALE)

    def work() -> JobState:
        out = Path(studio.catalog.job(job).out)
        (out / "talk.es.m4a").write_bytes(b"corrected")
        (out / "report.json").rename(out / "talk.es.report.json")
        return JobState.COMPLETED

    carry_out(job, studio.settings, studio.catalog, work)


@pytest.fixture
def job(studio: Studio, drop: Path, tone: bytes) -> str:
    """One that is delivered."""
    (drop / "in" / "talk.wav").write_bytes(tone)
    (drop / "in" / "talk.job.json").write_text(JOB)
    (accepted,) = studio.sweeper().sweep().accepted
    studio.finish(accepted)
    assert studio.sweeper().sweep().published == 1
    return accepted


def test_a_corrected_delivery_takes_the_place_of_the_first(studio: Studio, drop: Path, job: str, tone: bytes) -> None:
    (done,) = (drop / "done").glob(f"*/{job}")
    (done / "notes.txt").write_text("mine")
    made_again(studio, job)
    assert listed(done) == [
        "delivery.json", "notes.txt", "source/talk.job.json", "source/talk.wav", "talk.es.m4a", "talk.es.report.json",
    ]  # fmt: skip
    assert (done / "talk.es.m4a").read_bytes() == b"corrected"
    assert (done / "source" / "talk.wav").read_bytes() == tone
    marker = json.loads((done / "delivery.json").read_text("utf-8"))
    assert set(marker["files"]) == {"talk.es.m4a", "talk.es.report.json"}
    assert studio.states() == {"in/talk.wav": "done"}
    assert studio.catalog.job(job).request["source"] == str(done / "source" / "talk.wav")
    assert studio.sweeper().sweep().idle


def test_one_that_could_not_be_put_there_is_put_there_later(
    studio: Studio, drop: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(FolderPlace, "settle", away)
        made_again(studio, job)
    (done,) = (drop / "done").glob(f"*/{job}")
    assert (done / "talk.es.m4a").read_bytes() == b"sound"
    assert studio.states() == {"in/talk.wav": "accepted"}
    settle_here(studio.settings, studio.catalog)
    assert (done / "talk.es.m4a").read_bytes() == b"corrected"
    assert studio.states() == {"in/talk.wav": "done"}


def test_one_that_fails_leaves_what_was_delivered(studio: Studio, drop: Path, job: str) -> None:
    def work() -> JobState:
        raise Unavailable("the engine is away")

    studio.catalog.move_job(job, JobState.STALE)
    with pytest.raises(Unavailable):
        carry_out(job, studio.settings, studio.catalog, work)
    assert studio.sweeper().sweep().idle
    (done,) = (drop / "done").glob(f"*/{job}")
    assert (done / "talk.es.m4a").read_bytes() == b"sound"
    assert studio.states() == {"in/talk.wav": "done"}


def test_a_process_that_is_killed_while_it_puts_files_there_is_made_up_for(
    studio: Studio, drop: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then its list is not there, by which readers know a delivery that is whole."""
    moved = 0
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        nonlocal moved
        moved += 1
        if moved == 2:
            raise KeyboardInterrupt
        return replace(self, target)

    (done,) = (drop / "done").glob(f"*/{job}")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            made_again(studio, job)
    assert not (done / "delivery.json").exists()
    studio.leases_run_out()
    assert studio.sweeper().sweep().published == 1
    assert (done / "talk.es.m4a").read_bytes() == b"corrected"
    assert (done / "delivery.json").exists()
    assert (done / "source" / "talk.wav").exists()


def test_it_goes_to_a_bucket_too(s3: S3Server, tmp_path: Path, tone: bytes) -> None:
    bucket, client = s3.new_bucket(), s3.client()
    studio = Studio(
        f"s3://{bucket}/studio", tmp_path / "home", f"sqlite:///{tmp_path / 'c.db'}", s3_endpoint_url=s3.url
    )
    client.put_object(Bucket=bucket, Key="studio/in/talk.wav", Body=tone)
    client.put_object(Bucket=bucket, Key="studio/in/talk.job.json", Body=JOB.encode())
    (job,) = studio.sweeper().sweep().accepted
    studio.finish(job)
    assert settle_own(job, studio.settings, studio.catalog)
    made_again(studio, job)
    folder = f"studio/done/{studio.catalog.job(job).created_at:%Y-%m-%d}/{job}/"
    found = {each["Key"].removeprefix(folder) for each in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert found == {
        "delivery.json", "source/talk.job.json", "source/talk.wav", "talk.es.m4a", "talk.es.report.json",
    }  # fmt: skip
    assert client.get_object(Bucket=bucket, Key=f"{folder}talk.es.m4a")["Body"].read() == b"corrected"
    marker = json.loads(client.get_object(Bucket=bucket, Key=f"{folder}delivery.json")["Body"].read())
    assert set(marker["files"]) == {"talk.es.m4a", "talk.es.report.json"}
    studio.catalog.close()


def test_what_is_there_already_is_not_sent_again(
    studio: Studio, drop: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper that was killed behind it, and one that is just late."""
    (done,) = (drop / "done").glob(f"*/{job}")
    before = (done / "delivery.json").stat().st_ino
    studio.sql("UPDATE drops SET state = 'accepted' WHERE key = 'in/talk.wav'")
    monkeypatch.setattr(FolderPlace, "_replace", None)
    assert studio.sweeper().sweep().published == 1
    assert (done / "delivery.json").stat().st_ino == before
