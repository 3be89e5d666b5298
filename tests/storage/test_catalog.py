"""What the catalog keeps beside jobs and lines, and how it is shared, on every database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from speechmill.abilities import Ability
from speechmill.errors import BadInput, Unavailable
from speechmill.recipes import Artifact
from storage.catalog import Catalog, Job, JobState, Order, OrderKey
from tests.storage.facts import digest, line, take


def test_recipes_are_remembered(catalog: Catalog) -> None:
    recipe = digest("recipe")
    assert catalog.recall(recipe) is None
    catalog.remember(recipe, "speak", Artifact(digest("a"), 5, made=True))
    catalog.remember(recipe, "speak", Artifact(digest("b"), 7 << 40, made=True))
    assert catalog.recall(recipe) == Artifact(digest("b"), 7 << 40)


def test_a_delivery_replaces_the_one_before(catalog: Catalog, job: Job) -> None:
    catalog.put_delivery(job.id, "es", {"audio": "talk.es.m4a"}, [], "failed")
    catalog.put_delivery(job.id, "fr", {}, [], "failed")
    checks = [{"id": "loudness", "passed": True, "measured": -14.02, "required": "-14 ± 0.5"}]
    catalog.put_delivery(job.id, "es", {"audio": "talk.es.m4a", "srt": None}, checks, "completed")
    first, second = catalog.deliveries(job.id)
    assert (first.language, first.outputs, first.checks, first.state) == (
        "es", {"audio": "talk.es.m4a", "srt": None}, checks, "completed",
    )  # fmt: skip
    assert second.language == "fr"


def test_what_is_no_number_is_refused_on_every_database(catalog: Catalog, job: Job) -> None:
    with pytest.raises(Exception, match="not JSON compliant"):
        catalog.set_job_facts(job.id, peak_dbfs=float("-inf"))
    assert catalog.job(job.id).facts == {}


def test_a_second_catalog_of_the_same_database_sees_the_same(catalog: Catalog, job: Job, database_url: str) -> None:
    other = Catalog.open(database_url)
    assert other.job(job.id) == job
    other.move_job(job.id, JobState.RUNNING)
    assert catalog.job(job.id).state is JobState.RUNNING
    other.close()


def test_readers_do_not_wait_for_a_writer(catalog: Catalog, job: Job) -> None:
    with catalog._database.writing() as session:
        catalog._happened(session, job.id, "slow", {})
        session.flush()
        answers: list[int] = []
        reader = threading.Thread(target=lambda: answers.append(len(catalog.events(job.id))))
        reader.start()
        reader.join(10)
    assert answers == [1]


def test_eight_threads_work_on_one_catalog(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(i) for i in range(160)])

    def work(part: int) -> None:
        for i in range(part, 160, 8):
            catalog.remember(digest(str(i)), "speak", Artifact(digest(f"audio {i}"), i))
            assert catalog.recall(digest(str(i))) == Artifact(digest(f"audio {i}"), i)
            catalog.put_takes(job.id, "es", [take(i, str(i))])
            catalog.cancel_requested(job.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert catalog.takes(job.id, "es") == [take(i, str(i)) for i in range(160)]


def test_a_job_of_900_lines_costs_few_statements(catalog: Catalog, job: Job, statements: list[str]) -> None:
    def asked(do: Callable[[], object]) -> int:
        statements.clear()
        do()
        return len(statements)

    keys = [OrderKey(job.id, Ability.SPEAK, f"L{i:04}", 1, digest(str(i))) for i in range(900)]
    assert 0 < asked(lambda: catalog.put_lines(job.id, "es", [line(i) for i in range(900)])) <= 6
    orders = [Order(key, "es", {}) for key in keys]
    assert 0 < asked(lambda: catalog.order("round", job.id, Ability.SPEAK, "es", orders)) <= 8
    lease = catalog.lease(keys[0], "me", 60)
    assert lease is not None
    assert 0 < asked(lambda: lease.finish(take(0, "0"))) <= 4
    assert 0 < asked(lambda: catalog.put_takes(job.id, "es", [take(i, str(i)) for i in range(900)])) <= 6
    assert 0 < asked(lambda: catalog.takes(job.id, "es")) <= 3
    assert 0 < asked(lambda: catalog.lines(job.id, "es")) <= 3
    assert len(catalog.takes(job.id, "es")) == len(catalog.lines(job.id, "es")) == 900


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_a_url_of_no_use_is_named(url: str) -> None:
    with pytest.raises(BadInput, match="SPEECHMILL_DATABASE_URL"):
        Catalog.open(url)


def test_a_catalog_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a database, only text that is long enough to be looked at" * 10)
    (tmp_path / "folder").mkdir()
    urls = [f"sqlite:///{tmp_path}/{name}" for name in ("file", "folder", "file/inside.db")]
    for url in [*urls, f"postgresql://nobody@/nothing?host={tmp_path}"]:
        with pytest.raises(Unavailable):
            Catalog.open(url)
