"""Watching a drop folder: sweep, start what was accepted, publish what is finished; once, or until told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from flows.ingest import Sweep, Sweeper
from flows.notices import MOST_KEYS, Notices, heard
from flows.progress import StreamProgress
from flows.relay import Relay
from speechmill.errors import SpeechmillError
from speechmill.settings import Settings
from storage.catalog import Catalog
from storage.places import Place, place_at

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

    watch = Watch(place_at(where, chosen), chosen, catalog, say, prefect=prefect and lasting_server(chosen) is not None)
    if once:
        return watch.once()
    with heard(chosen, watch.place) as notices:
        while True:
            watch.round(notices)


class Watch:
    """Looks at one place, and starts what is accepted there."""

    def __init__(
        self, place: Place, chosen: Settings, catalog: Catalog, say: Callable[[str], None], *, prefect: bool
    ) -> None:
        self.place = place
        self._settings, self._catalog, self._say, self._prefect = chosen, catalog, say, prefect
        self._sweeper = Sweeper(place, chosen, catalog, prefect=prefect)
        self._relay = Relay(chosen, catalog, place.url, prefect=prefect)

    def look(self, near: Sequence[str] = ("",)) -> tuple[Sweep, bool]:
        """Sweep what is near some keys, or everything, and start what is due: what was found and done last, and whether
        something was started."""
        for key in near if len(near) <= MOST_KEYS else ("",):
            swept = self._sweeper.sweep(near=key)
            if not swept.idle or swept.trouble:
                self._say(swept.sentence())
            for each in swept.trouble:
                self._say(each)
        begun = self._relay.next(StreamProgress())
        while begun and self._prefect and self._relay.next():  # what is only handed on takes no time
            pass
        return swept, begun

    def round(self, notices: Notices) -> None:
        """Look at everything, and then, until it is time for that again, where notices say that something is new."""
        until = time.monotonic() + self._settings.drop_interval_s
        near = [""]
        while True:
            try:
                _, begun = self.look(near)
            except SpeechmillError as error:
                self._say(str(error))
                begun = False
            if begun and not self._prefect:
                return  # a job that was run here took its time
            near = notices.wait(max(0.0, until - time.monotonic()))
            if not near:
                return

    def once(self) -> Sweep:
        """Look until all that is there is dealt with, and handed on, or can only be dealt with later."""
        # Files that change at every look would keep it from ending.
        patience_s = 2 * (self._settings.sidecar_grace_s + self._settings.drop_min_age_s) + LOOK_S
        until = time.monotonic() + patience_s
        total = Sweep(self.place.url)
        while True:
            swept, begun = self.look()
            total = _sum(total, swept)
            if begun:
                until = time.monotonic() + patience_s
            elif not swept.idle:
                continue
            elif self._prefect and self._catalog.errands_waiting(self.place.url):
                time.sleep(self._settings.drop_interval_s)  # for others to end, of which so many may be under way
                until = time.monotonic() + patience_s
            elif not swept.waiting or time.monotonic() > until:
                return total
            else:
                time.sleep(LOOK_S)


def _sum(total: Sweep, swept: Sweep) -> Sweep:
    return replace(
        swept,
        accepted=(*total.accepted, *swept.accepted),
        rejected=total.rejected + swept.rejected,
        published=total.published + swept.published,
        quarantined=total.quarantined + swept.quarantined,
    )
