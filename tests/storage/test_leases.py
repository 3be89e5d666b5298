"""However often work is delivered and whoever dies, each order is done and its result written once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from speechmill.abilities import Ability
from speechmill.errors import EngineRefused, LeaseLost
from speechmill.lines import Line
from speechmill.takes import Take, Verdict
from storage.catalog import Catalog, Job, Order, OrderKey, OrderState
from tests.storage.facts import digest

LINES = 40


def take(number: int = 0, recipe: str = "0", audio: str = "audio") -> Take:
    return Take(f"L{number}", 1, digest(recipe), digest(audio), None, Verdict.PASSED)


ROUND = "round"


def key(job: Job, number: int = 0, recipe: str | None = None) -> OrderKey:
    return OrderKey(job.id, Ability.SPEAK, f"L{number}", 1, digest(recipe or str(number)))


def order(catalog: Catalog, job: Job, *keys: OrderKey) -> list[OrderKey]:
    wanted = [Order(each, "es", {"text": f"hola {each.item}"}) for each in keys]
    return catalog.order(ROUND, job.id, Ability.SPEAK, "es", wanted)


@pytest.fixture
def job(catalog: Catalog) -> Job:
    job = catalog.add_job("dub", {}, "f")
    catalog.put_lines(job.id, "es", [Line(f"L{i}", "A", "es", "hola") for i in range(LINES)])
    order(catalog, job, *(key(job, i) for i in range(LINES)))
    return job


def state(catalog: Catalog) -> OrderState:
    """Of the first order, told by what the counts have besides the others."""
    counts = catalog.counts(ROUND)
    counts[OrderState.ORDERED] -= LINES - 1
    return next(state for state, count in counts.items() if count == 1)


def test_a_take_is_leased_to_one_and_finished_once(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    assert (lease.order, lease.attempt) == (Order(key(job), "es", {"text": "hola L0"}), 1)
    assert catalog.lease(key(job), "you", 60) is None
    assert catalog.lease(key(job), "me", 60) is None  # the message was delivered twice
    lease.finish(take())
    assert catalog.takes(job.id, "es") == [take()]
    assert catalog.lease(key(job), "you", 60) is None
    with pytest.raises(LeaseLost):
        lease.finish(take(audio="again"))
    assert catalog.takes(job.id, "es") == [take()]


@pytest.mark.parametrize(
    "missing", [{"job_id": "x"}, {"kind": "transcribe"}, {"item": "x"}, {"number": 2}, {"recipe": digest("other")}]
)
def test_there_is_no_lease_on_what_was_not_ordered(catalog: Catalog, job: Job, missing: dict[str, object]) -> None:
    assert catalog.lease(replace(key(job), **missing), "me", 60) is None  # type: ignore[arg-type]


def test_of_racing_threads_each_take_has_one_winner(catalog: Catalog, job: Job) -> None:
    begin = threading.Barrier(8)

    def work(worker: int) -> list[int]:
        begin.wait()
        won = []
        for number in range(LINES):
            lease = catalog.lease(key(job, number), f"worker {worker}", 60)
            if lease is not None:
                lease.finish(take(number, str(number), f"{worker}"))
                won.append(number)
        return won

    with ThreadPoolExecutor(8) as pool:
        won = [number for each in pool.map(work, range(8)) for number in each]
    assert sorted(won) == list(range(LINES))
    assert catalog.counts(ROUND)[OrderState.DONE] == LINES
    assert len(catalog.takes(job.id, "es")) == LINES


def test_of_racing_processes_each_take_has_one_winner(job: Job, database_url: str) -> None:
    body = f"""
import sys
from storage.catalog import Catalog, OrderKey
from speechmill.recipes import digest_of_bytes
catalog = Catalog.open({database_url!r}, upgrade=False)
print("ready", flush=True)
sys.stdin.readline()
for number in range({LINES}):
    key = OrderKey({job.id!r}, "speak", f"L{{number}}", 1, digest_of_bytes(str(number).encode()))
    if catalog.lease(key, "me", 60):
        print(number)
catalog.close()
"""
    argv = [sys.executable, "-c", body]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [int(number) for process in processes for number in process.communicate(timeout=60)[0].split()]
    assert sorted(won) == list(range(LINES))


def test_a_lease_that_ran_out_is_taken_over_and_the_slow_one_writes_nothing(catalog: Catalog, job: Job) -> None:
    slow = catalog.lease(key(job), "slow", 0.05)
    assert slow is not None
    time.sleep(0.1)
    quick = catalog.lease(key(job), "quick", 60)
    assert quick is not None
    assert quick.attempt == 2
    with pytest.raises(LeaseLost):
        slow.finish(take(audio="slow"))
    with pytest.raises(LeaseLost):
        slow.renew(60)
    slow.give_up("too late to say so")
    quick.finish(take(audio="quick"))
    assert catalog.takes(job.id, "es") == [take(audio="quick")]


def test_a_lease_that_ran_out_but_was_not_taken_over_still_counts(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "slow", 0.01)
    assert lease is not None
    time.sleep(0.05)
    lease.finish(take())
    assert catalog.takes(job.id, "es") == [take()]


def test_a_renewed_lease_is_not_taken_over(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 0.2)
    assert lease is not None
    lease.renew(60)
    time.sleep(0.3)
    assert catalog.lease(key(job), "you", 60) is None
    lease.finish(take())


def test_what_is_given_up_is_tried_again_but_not_for_ever(catalog: Catalog, job: Job) -> None:
    for attempt in (1, 2, 3):
        assert state(catalog) is OrderState.ORDERED
        lease = catalog.lease(key(job), "me", 60)
        assert lease is not None
        assert lease.attempt == attempt
        lease.give_up("out of memory", pause_s=0)
    assert state(catalog) is OrderState.FAILED
    assert catalog.lease(key(job), "me", 60) is None
    assert catalog.given_up(ROUND) == {key(job): "out of memory"}
    assert key(job) not in catalog.due(ROUND).keys
    order(catalog, job, key(job))  # the next run gives it another chance
    assert catalog.lease(key(job), "me", 60) is not None


def test_a_take_that_kills_its_workers_is_given_up(catalog: Catalog, job: Job) -> None:
    for _ in range(3):
        assert catalog.lease(key(job), "doomed", 0.01) is not None
        time.sleep(0.05)
    assert catalog.lease(key(job), "careful", 60) is None
    assert state(catalog) is OrderState.FAILED


def test_work_that_ends_in_an_exception_gives_the_take_back(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    with pytest.raises(EngineRefused), lease:
        raise EngineRefused("cannot say it")
    assert state(catalog) is OrderState.ORDERED
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    with lease:
        pass  # without a take
    assert state(catalog) is OrderState.ORDERED
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    with lease:
        lease.finish(take())
    assert state(catalog) is OrderState.DONE


def test_a_line_that_is_changed_while_it_is_spoken_is_spoken_again(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    edited = key(job, recipe="edited")
    order(catalog, job, edited)
    with pytest.raises(LeaseLost):
        lease.finish(take())
    assert catalog.takes(job.id, "es") == []
    assert catalog.lease(key(job), "me", 60) is None  # an old message finds nothing any more
    again = catalog.lease(edited, "me", 60)
    assert again is not None
    assert again.attempt == 1
    with pytest.raises(LeaseLost):
        lease.finish(take())
    again.finish(take(recipe="edited"))
    assert catalog.takes(job.id, "es") == [take(recipe="edited")]


def test_a_worker_loses_to_a_take_that_was_put(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    catalog.put_takes(job.id, "es", [take(audio="put")])
    with pytest.raises(LeaseLost):
        lease.finish(take(audio="mine"))
    assert catalog.lease(key(job, 1), "me", 60) is None  # nobody waits for the others either
    assert catalog.takes(job.id, "es") == [take(audio="put")]


def test_another_take_than_the_leased_one_is_a_mistake(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    for wrong in (take(1, "0"), take(recipe="other")):
        with pytest.raises(ValueError, match="not the take"):
            lease.finish(wrong)
    lease.finish(take())


def test_a_take_whose_line_is_gone_is_not_written(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    catalog.put_lines(job.id, "es", [Line("L1", "A", "es", "hola")])
    with pytest.raises(LeaseLost):
        lease.finish(take())


def test_what_is_given_back_was_no_attempt(catalog: Catalog, job: Job) -> None:
    for _ in range(5):
        lease = catalog.lease(key(job), "me", 60)
        assert lease is not None
        assert lease.attempt == 1
        lease.give_back()
    assert key(job) in catalog.due(ROUND).keys


# Rounds: who waits


def test_a_message_goes_out_once_and_again_where_it_is_needed(catalog: Catalog, job: Job) -> None:
    due = catalog.due(ROUND)
    assert {each.item for each in due.keys} == {f"L{i}" for i in range(LINES)}
    catalog.sent(ROUND, due)
    assert catalog.due(ROUND).keys == ()
    lease = catalog.lease(key(job), "slow", 0.01)
    assert lease is not None
    time.sleep(0.05)
    assert catalog.due(ROUND).keys == (key(job),)  # the lease ran out
    with pytest.raises(LeaseLost):
        lease.finish(take())
    catalog.sent(ROUND, catalog.due(ROUND))
    other = catalog.lease(key(job, 1), "me", 60)
    assert other is not None
    other.give_up("no luck", pause_s=0.2)
    assert catalog.due(ROUND).keys == ()
    time.sleep(0.3)
    assert catalog.due(ROUND).keys == (key(job, 1),)
    catalog.resend(ROUND)
    assert len(catalog.due(ROUND).keys) == LINES


def test_an_order_whose_leases_run_out_again_and_again_is_given_up_by_who_waits(catalog: Catalog, job: Job) -> None:
    for _ in range(3):
        assert catalog.lease(key(job), "doomed", 0.01) is not None
        time.sleep(0.05)
        catalog.due(ROUND)
    assert state(catalog) is OrderState.FAILED
    assert "too often" in catalog.given_up(ROUND)[key(job)]


def test_what_is_done_is_not_ordered_again_unless_its_take_is_gone(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    lease.finish(take(), {"speak made": 1})
    assert catalog.tally(ROUND) == {"speak made": 1}
    assert order(catalog, job, key(job), key(job, 1)) == [key(job)]
    catalog.put_takes(job.id, "es", [take(recipe="edited")])
    assert order(catalog, job, key(job)) == []
    assert catalog.takes(job.id, "es") == []
    assert catalog.lease(key(job), "me", 60) is not None


def test_a_later_run_waits_for_what_an_earlier_one_began(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    wanted = [Order(key(job, number), "es", {}) for number in (0, 1)]
    assert catalog.order("later", job.id, Ability.SPEAK, "es", wanted) == []
    assert catalog.due("later").keys == (key(job, 1),)
    lease.finish(take())
    assert catalog.counts("later")[OrderState.DONE] == 1
    assert catalog.counts(ROUND)[OrderState.ORDERED] == LINES - 2


def test_nothing_of_a_withdrawn_round_is_begun(catalog: Catalog, job: Job) -> None:
    lease = catalog.lease(key(job), "me", 60)
    assert lease is not None
    catalog.withdraw(ROUND)
    assert catalog.lease(key(job, 1), "me", 60) is None
    lease.finish(take())  # what was begun is not lost
    assert order(catalog, job, key(job), key(job, 1)) == [key(job)]
    assert catalog.lease(key(job, 1), "me", 60) is not None
