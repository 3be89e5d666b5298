"""The tables come from the migrations, up and down, and are what the code expects."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from speechmill.errors import Unavailable
from speechmill.takes import Reason, Verdict
from storage.catalog import Catalog, JobState
from storage.catalog.database import Database
from storage.catalog.models import Base
from storage.migrations import bring_up_to_date, configuration, head, migrate


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def tables(database: Database) -> set[str]:
    return set(sa.inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_every_revision_can_be_gone_up_and_down(database: Database) -> None:
    script = ScriptDirectory.from_config(configuration())
    revisions = [each.revision for each in script.walk_revisions()][::-1]
    for revision in revisions:
        migrate(database, revision)
    assert tables(database) == set(Base.metadata.tables)
    for revision in revisions[-2::-1]:
        migrate(database, revision)
    migrate(database, "base")
    assert tables(database) == set()
    bring_up_to_date(database)
    assert tables(database) == set(Base.metadata.tables)


def test_there_is_one_last_revision_and_the_file_names_tell_it() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [head()]


def test_the_migrations_make_what_the_models_say(database: Database) -> None:
    bring_up_to_date(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_checks_are_the_same_in_migrations_and_models(database: Database) -> None:
    """Autogenerate does not look at CHECK constraints, and a state that is missing there is noticed too late."""

    def checks() -> dict[str, list[str]]:
        inspector = sa.inspect(database.engine)
        return {
            table: sorted(f"{each['name']}: {each['sqltext']}" for each in inspector.get_check_constraints(table))
            for table in Base.metadata.tables
        }

    bring_up_to_date(database)
    migrated = checks()
    migrate(database, "base")
    Base.metadata.create_all(database.engine)
    assert checks() == migrated
    assert migrated["jobs"]
    assert migrated["orders"]


def test_an_upgrade_that_fails_leaves_what_was_there(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the power went")

    monkeypatch.setattr(op, "create_index", broken)
    with pytest.raises(RuntimeError):
        bring_up_to_date(database)
    assert sa.inspect(database.engine).get_table_names() == []
    monkeypatch.undo()
    bring_up_to_date(database)
    assert tables(database) == set(Base.metadata.tables)


def test_workers_do_not_migrate(database_url: str) -> None:
    with pytest.raises(Unavailable, match="not up to date"):
        Catalog.open(database_url, upgrade=False)
    Catalog.open(database_url).close()
    Catalog.open(database_url, upgrade=False).close()


def test_a_catalog_of_a_newer_version_is_left_alone(database: Database, database_url: str) -> None:
    bring_up_to_date(database)
    with database.writing() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="newer Speechmill"):
        Catalog.open(database_url)


def test_processes_that_open_a_new_catalog_at_once_all_can(database_url: str) -> None:
    body = f"""
import sys
from storage.catalog import Catalog
print("ready", flush=True)
sys.stdin.readline()
catalog = Catalog.open({database_url!r})
print(catalog.add_job("dub", {{}}, "f").id)
catalog.close()
"""
    argv = [sys.executable, "-W", "error", "-c", body]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    made = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 3
    catalog = Catalog.open(database_url)
    assert {job.id for job in catalog.jobs()} == made
    catalog.close()


def test_a_new_catalog_is_opened_once_another_process_has_done_with_it(tmp_path: Path) -> None:
    """SQLite does not wait for others by itself as it begins to keep a log of writes."""
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as other, ThreadPoolExecutor() as pool:
        other.execute("BEGIN IMMEDIATE")
        opened = pool.submit(Catalog.open, f"sqlite:///{tmp_path / 'catalog.db'}")
        assert wait([opened], timeout=0.5).not_done
        other.execute("COMMIT")
        opened.result(20).close()


def test_opening_says_nothing(
    database_url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        Catalog.open(database_url).close()
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_catalog_that_is_up_to_date_opens_without_alembic(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('quick') / 'catalog.db'}"
    Catalog.open(url).close()
    body = f"""
import sys
from storage.catalog import Catalog
Catalog.open({url!r}).close()
assert not [name for name in sys.modules if name.startswith(("alembic", "torch", "numpy", "boto3"))]
"""
    subprocess.run([sys.executable, "-c", body], check=True)


DUMPS = Path(__file__).parent.parent / "data" / "catalog"
TALK, RUNNING = "20261101-090000-aaaaa", "20261102-090000-bbbbb"


def load(database: Database, dump: str) -> None:
    """Make a database what a dump of one says."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    text = (DUMPS / f"{dump}.{kind}.sql").read_text("utf-8")
    connection = database.engine.raw_connection()
    assert connection.driver_connection is not None
    if database.is_sqlite:
        # A dump has its tables by name, and so some before those that they refer to.
        connection.driver_connection.executescript(f"PRAGMA foreign_keys = OFF; {text} PRAGMA foreign_keys = ON;")
    else:
        connection.driver_connection.execute(text)
        connection.commit()
    connection.close()


def test_a_catalog_of_the_first_version_is_brought_up_with_all_that_was_done(
    database: Database, database_url: str
) -> None:
    load(database, "r0001")
    catalog = Catalog.open(database_url)
    assert catalog.job(TALK).state is JobState.COMPLETED_WITH_REVIEW
    assert catalog.cancel_requested(RUNNING)
    assert [(line.line.text, line.edited) for line in catalog.lines(TALK)] == [
        ("¿Qué es la línea 0?", False), ("¿Qué es la línea 1?", True), ("¿Qué es la línea 2?", False),
    ]  # fmt: skip
    takes = catalog.takes(TALK, "es")
    assert [(take.line_id, take.number, take.verdict, take.reasons) for take in takes] == [
        ("0000", 1, Verdict.PASSED, ()),
        ("0001", 1, Verdict.REVIEW, (Reason.TOO_LONG,)),
        ("0001", 2, Verdict.PASSED, ()),
        ("0002", 1, Verdict.FAILED, (Reason.ENGINE_REFUSED,)),
    ]
    assert takes[0].measured is not None
    assert takes[0].measured.loudness_lufs == -20.5
    assert catalog.takes(RUNNING, "es") == []  # what was not done is made when the job is run again
    assert catalog.cast(TALK, "es")["Ana"].settings == {"variant": "f2"}
    assert catalog.recall(takes[0].recipe) is not None
    assert catalog.deliveries(TALK)[0].outputs == {"audio": "talk.es.m4a"}
    assert len(catalog.events(TALK)) == 1
    catalog.close()


def test_going_down_to_the_first_version_and_up_again_keeps_what_was_done(
    database: Database, database_url: str
) -> None:
    load(database, "r0001")
    before = Catalog.open(database_url)
    takes, lines = before.takes(TALK, "es"), before.lines(TALK)
    before.close()
    migrate(database, "0001")
    with database.reading() as session:
        rows = session.execute(sa.text("SELECT state, attempts, fence, owner FROM takes")).all()
    assert {tuple(row) for row in rows} == {("done", 1, 1, None)}
    after = Catalog.open(database_url)
    assert (after.takes(TALK, "es"), after.lines(TALK)) == (takes, lines)
    after.close()
