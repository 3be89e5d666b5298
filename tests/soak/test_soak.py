"""The soak: films arrive in a bucket while everything that serves them is killed, stopped, frozen and flushed at
random; once where workers speak the lines, and once where Prefect runs the jobs.

    make soak [MINUTES=10] [SEED=…]

Afterwards, by SQL and by listing: every film that was accepted has exactly one published delivery whose files are what
its marker says, every other file lies in quarantine with its reason, no line is lost or spoken twice into a result, and
nothing is half there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.flows.conftest import make_film
from tests.servers import ONE_PROCESS, S3Server
from tests.soak.queued import QueuedStudio
from tests.soak.scheduled import ScheduledStudio
from tests.soak.soak import Soak
from tests.soak.stand import Stand

pytestmark = [pytest.mark.soak, ONE_PROCESS]


@pytest.mark.parametrize("kind", [QueuedStudio, ScheduledStudio], ids=["queued", "scheduled"])
def test_nothing_is_lost_doubled_or_half_there(
    request: pytest.FixtureRequest,
    rgw: S3Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: type[Stand],
) -> None:
    minutes = float(request.config.getoption("--minutes"))
    seed = int(request.config.getoption("--seed") or time.time())
    film = make_film(tmp_path)
    with capsys.disabled(), kind(tmp_path / "stand", rgw) as stand:
        sys.stderr.write(f"\nsoak, {kind.__name__}: {minutes:g} minutes, seed {seed}\n")
        soak = Soak(stand, film, seed)
        soak.run(minutes * 60)
        soak.say("no more blows; settling")
        settled = soak.settled()
        soak.say("settled" if settled else f"not settled: {list(stand.keys('in/'))}")
        stand.end_services()
        troubles = ([] if settled else ["it has not settled"]) + soak.troubles()
        killed = ", ".join(f"{name} {count}" for name, count in sorted(soak.blows.items()))
        sys.stderr.write(
            f"soak, {kind.__name__}: seed {seed}; {len(soak.dropped.films)} films delivered, "
            f"{len(soak.dropped.refused)} files refused, {sum(soak.blows.values())} blows ({killed}); "
            f"{len(troubles)} troubles\n"
        )
        for trouble in troubles:
            sys.stderr.write(f"  {trouble}\n")
    assert troubles == []
    assert soak.dropped.films
    assert soak.blows
