"""Drop folders, sweepers of them, and jobs that are finished without being run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.ingest import Sweeper
from speechmill.settings import Settings
from storage.catalog import Catalog, JobState
from storage.places import Place, place_at
from tests.flows.conftest import long_recording as long_recording
from tests.flows.serving import Serving
from tests.flows.serving import serving as serving
from tests.servers import prefect_at

JOB = '{"targets": ["es"]}'


class Studio:
    """A place, the catalog and the settings of somebody who sweeps it."""

    def __init__(self, where: str, home: Path, database_url: str, **settings: object) -> None:
        defaults = {"engine": "rehearsal", "drop_min_age_s": 0, "sidecar_grace_s": 0}
        self.settings = Settings(home=home, database_url=database_url, **{**defaults, **settings})
        self.catalog = Catalog.open(database_url)
        self.place: Place = place_at(where, self.settings)

    def sweeper(self) -> Sweeper:
        return Sweeper(self.place, self.settings, self.catalog)

    def finish(self, job: str, state: JobState = JobState.COMPLETED, **detail: str) -> None:
        """As if the job had been run: its delivery lies in its folder, or it failed."""
        if state is not JobState.FAILED:
            out = Path(self.catalog.job(job).out)
            out.mkdir(parents=True, exist_ok=True)
            (out / "talk.es.m4a").write_bytes(b"sound")
            (out / "report.json").write_text("{}", "utf-8")
        self.catalog.move_job(job, JobState.RUNNING)
        self.catalog.move_job(job, state, **detail)
        self.handed(job)

    def handed(self, job: str) -> None:
        self.sql("UPDATE outbox SET handed_at_s = 1 WHERE job_id = :job", job=job)

    def sql(self, statement: str, **values: object) -> None:
        with self.catalog._database.writing() as session:
            session.execute(sa.text(statement), values)

    def leases_run_out(self) -> None:
        """As after a minute in which nobody renewed them."""
        self.sql("UPDATE drops SET lease_until_s = 0 WHERE lease_until_s IS NOT NULL")
        self.sql("UPDATE outbox SET lease_until_s = 0 WHERE lease_until_s IS NOT NULL")
        self.sql("UPDATE runs SET lease_until_s = 0 WHERE lease_until_s IS NOT NULL")

    def count(self, table: str) -> int:
        with self.catalog._database.reading() as session:
            return session.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0

    def states(self) -> dict[str, str]:
        """Of what was dealt with; sidecars are only seen, and forgotten when they are gone."""
        found = {drop.key: str(drop.state) for drop in self.catalog.drops(self.place.url)}
        return {key: state for key, state in found.items() if state != "seen"}


@pytest.fixture(scope="session")
def tone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording of a tenth of a second."""
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    argv = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=0.1", f"file:{path}"]
    subprocess.run(argv, check=True)
    return path.read_bytes()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A drop folder."""
    (tmp_path / "drop" / "in").mkdir(parents=True)
    return tmp_path / "drop"


@pytest.fixture
def studio(drop: Path, tmp_path: Path, database_url: str) -> Iterator[Studio]:
    made = Studio(str(drop), tmp_path / "home", database_url)
    yield made
    made.catalog.close()


@pytest.fixture(scope="module")
def server(serving: Callable[..., Serving]) -> Iterator[Serving]:
    """A Prefect server that has the deployments, of a machine that serves no more."""
    machine = serving("gone")
    machine.stop()
    with prefect_at(machine.api):
        yield machine


def listed(folder: Path) -> list[str]:
    """Files below a folder, but for the workshop of sweepers that live."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".speechmill/"))
