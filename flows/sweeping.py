"""Watching a drop folder: sweep, start what was accepted, publish what is finished; once, or until told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from flows.ingest import Sweep, Sweeper
from flows.progress import StreamProgress
from flows.relay import Relay
from speechmill.errors import SpeechmillError
from speechmill.settings import Settings
from storage.catalog import Catalog
from storage.places import place_at

LOOK_S = 0.5  # between looks at files that are not whole yet, or claimed by others, in one round


def ingest(
    where: str, chosen: Settings, catalog: Catalog, say: Callable[[str], None], *, once: bool, prefect: bool = True
) -> Sweep:
    """Watch a drop folder. Jobs are started by the Prefect server that stays, where there is one, else here, one after
    the other, with a sweep between them.

    With ``once`` it ends when all that is there is dealt with, and handed on, or can only be dealt with later; the sum
    of what was done. Raises what keeps the place or the catalog from being used at all; while it watches, that is said
    and tried again.
    """
    from flows.prefect_runs import lasting_server

    prefect = prefect and lasting_server(chosen) is not None
    place = place_at(where, chosen)
    sweeper = Sweeper(place, chosen, catalog, prefect=prefect)
    relay = Relay(chosen, catalog, place.url, prefect=prefect)
    # Files that change at every look would keep a round from ending.
    patience_s = 2 * (chosen.sidecar_grace_s + chosen.drop_min_age_s) + LOOK_S
    until = time.monotonic() + patience_s
    total = Sweep(place.url)
    while True:
        try:
            swept = sweeper.sweep()
            total = _sum(total, swept)
            if not swept.idle or swept.trouble:
                say(swept.sentence())
            for each in swept.trouble:
                say(each)
            if relay.next(StreamProgress()):
                while prefect and relay.next():  # what is only handed on takes no time
                    pass
                until = time.monotonic() + patience_s
                continue
        except SpeechmillError as error:
            if once:
                raise
            say(str(error))
        if not once:
            time.sleep(chosen.drop_interval_s)
            continue
        if not swept.idle:
            continue
        if prefect and catalog.errands_waiting(place.url):  # for others to end, of which so many may be under way
            time.sleep(chosen.drop_interval_s)
            until = time.monotonic() + patience_s
            continue
        if not swept.waiting or time.monotonic() > until:
            return total
        time.sleep(LOOK_S)


def _sum(total: Sweep, swept: Sweep) -> Sweep:
    return replace(
        swept,
        accepted=(*total.accepted, *swept.accepted),
        rejected=total.rejected + swept.rejected,
        published=total.published + swept.published,
        quarantined=total.quarantined + swept.quarantined,
    )
