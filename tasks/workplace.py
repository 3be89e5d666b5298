"""The workplace: what every stage of a job works with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechmill import programs
from speechmill.errors import Cancelled
from speechmill.roots import Roots, refuse_outside
from speechmill.settings import Settings
from storage.artifacts import ArtifactIndex, ArtifactStore
from storage.catalog import MOST_WAITING, WITHIN, Catalog
from storage.stores import object_store
from tasks.dispatch import Dispatch, InProcess
from tasks.given import Given, given
from tasks.stages import Progress, Stages


@dataclass(slots=True)
class Workplace:
    """The settings, the catalog, the artifacts and the stages of one job, in one process."""

    settings: Settings
    catalog: Catalog
    store: ArtifactStore
    stages: Stages
    job: str
    dispatch: Dispatch
    within: Roots | None = None  # what files that the request names may name; None: anything
    given: Given | None = None  # while the job runs, for one that is held to roots

    @property
    def source(self) -> str:
        """What the job was asked to make something of, as whoever asked calls it."""
        return str(self.catalog.job(self.job).request["source"])

    @property
    def here(self) -> ArtifactStore:
        """For artifacts that no other machine asks for: the film decoded, its master, its previews."""
        return self.store.here()

    def refuse_outside(self, *written: Path) -> None:
        """Raise ``ForbiddenSource`` for what is to be written outside the roots that the job is held to."""
        if self.within is not None:
            refuse_outside([str(path) for path in written], self.within)

    def refuse_out(self, out: str | None) -> None:
        """The same for the folder that a request names for its results: by now it may be a link to another."""
        if out is not None and "://" not in out:
            self.refuse_outside(Path(out))

    @contextmanager
    def taking(self) -> Iterator[None]:
        """While this lasts, what is ``taken`` stays as it is."""
        if self.within is None:
            yield
            return
        within = self.within
        with given(within, self.settings.scratch) as self.given:
            self.within = self.given.roots
            try:
                yield
            finally:
                self.within, self.given = within, None

    def taken(self, path: Path) -> Path:
        """The file that a request names, or a file that it names does; for a job that is held to roots, one of our own,
        as ``tasks.given`` has it."""
        return path if self.within is None else self._given.taken(path)

    def kept(self, path: Path) -> Path:
        """The same for a file that was fetched."""
        return path if self.within is None else self._given.kept(path)

    @property
    def _given(self) -> Given:
        assert self.given is not None
        return self.given

    def stop_if_cancelled(self) -> None:
        """Raise ``Cancelled`` once a person has asked the job to stop, or its programs were stopped."""
        programs.raise_if_stopped()
        if self.catalog.cancel_requested(self.job):
            raise cancelled(self.job)


def cancelled(job: str) -> Cancelled:
    """What a job ends with that a person asked to stop."""
    return Cancelled(f"job {job} was cancelled", hint=f"`speechmill retake {job}` goes on from here")


def open_catalog(settings: Settings) -> Catalog:
    settings.home.mkdir(parents=True, exist_ok=True)
    return Catalog.open(settings.database_url)


def artifact_store(settings: Settings, index: ArtifactIndex) -> ArtifactStore:
    """The artifacts that the settings name; ``index`` is the catalog, or its uses of one job."""
    objects = object_store(settings.objects_url, settings)
    return ArtifactStore(objects, index, settings.scratch, cache=settings.cache, cache_bytes=settings.cache_bytes)


def workplace(settings: Settings, catalog: Catalog, job: str, progress: Progress) -> Workplace:
    """A workplace for one run of a job."""
    store = artifact_store(settings, catalog.uses_of(job, together=MOST_WAITING))
    within = catalog.job(job).facts.get(WITHIN)
    place = Workplace(
        settings,
        catalog,
        store,
        Stages(store, progress),
        job,
        _dispatch(settings, catalog, store, job),
        None if within is None else tuple(within),
    )
    place.stages.cancelled = place.stop_if_cancelled
    return place


def _dispatch(settings: Settings, catalog: Catalog, store: ArtifactStore, job: str) -> Dispatch:
    if not settings.broker_url:
        return InProcess(settings.threads)
    from tasks.waiting import OnQueue

    return OnQueue(settings, catalog, store, job)
