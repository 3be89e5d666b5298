"""Examining: what a drop asks for, or why it cannot have it. Nothing here changes a drop folder or the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flows import admission
from flows.start import refuse_unaskable
from speechmill import profiles
from speechmill.episodes import SIMPLE, PodcastRequest
from speechmill.errors import BadInput, LimitExceeded, UnreadableManifest, UnreadableMedia, UnreadableSidecar
from speechmill.recipes import digest_of_json
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from storage.catalog import WITHIN, Drop, DropState, Wanted
from storage.objects import StoredObject, safe_key
from storage.places import Place, safe_name
from tasks.dropping import layout
from tasks.dropping.layout import Role
from tasks.dropping.sidecars import MOST_BYTES, make_request, read_sidecar
from tasks.media.sniffing import HEAD_BYTES, refuse_by_head, sniff

NAMES_FILES = ("script", "glossary", "bed", "cast", "lexicon", "intro", "outro", "profile")


def files_of(asked: Mapping[str, Any]) -> dict[str, str]:
    """The fields of what is asked that name a file, and not a thing of the house; translations and shows are
    apart."""
    named = {field: asked[field] for field in NAMES_FILES if isinstance(asked.get(field), str)}
    return {
        field: name
        for field, name in named.items()
        if name != SIMPLE and (field != "profile" or profiles.is_file(name))
    }


class Waits(Exception):
    """It is too early to say what is to become of a drop."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in a drop folder, and what the ledger knows of it."""

    objects: Mapping[str, StoredObject]
    rows: Mapping[str, Drop]
    belonging: frozenset[str]  # to a film that is decided on already
    owned: frozenset[str | None]  # sidecars with a film or document beside them

    @classmethod
    def of(cls, objects: Mapping[str, StoredObject], rows: Mapping[str, Drop], manifests: Sequence[Drop] = ()) -> Self:
        taken = [row for row in rows.values() if row.state in (DropState.ACCEPTED, DropState.REJECTED)]
        taken += manifests
        films = (key for key in objects if layout.role(key) in (Role.FILM, Role.DOCUMENT))
        return cls(
            objects,
            rows,
            frozenset(key for row in taken for key in row.facts.get("beside", ())),
            frozenset(_sidecar(key, rows) for key in films),
        )


class Examiner:
    """Examines the drops of one place."""

    def __init__(self, place: Place, chosen: Settings, *, prefect: bool) -> None:
        self.place = place
        self._settings = chosen
        self._prefect = prefect

    def is_ready(self, row: Drop, listing: Listing) -> bool | None:
        """Whether a drop can be examined now: yes, not yet, or (``None``) never by itself."""
        if not _is_safe(row.key):
            return True
        kind = layout.role(row.key)
        if kind in (Role.DEFAULTS, Role.COMPANION, Role.MANIFEST) or row.key in listing.owned:
            return None
        if not self._is_whole(row):
            return False
        if kind is Role.SIDECAR:
            return row.age_s >= self._settings.sidecar_grace_s
        sidecar = _sidecar(row.key, listing.rows)
        if sidecar is None:
            return row.age_s >= self._settings.sidecar_grace_s
        return self._is_whole(listing.rows[sidecar])

    def _is_whole(self, row: Drop) -> bool:
        return self.place.whole or row.age_s >= self._settings.drop_min_age_s

    def beside(self, drop: Drop, listing: Listing) -> dict[str, str]:
        """What belongs to a drop that is refused, and the etags of it: its sidecar, and what bears its name, since what
        a sidecar names is not known where nobody can read it."""
        sidecar = _sidecar(drop.key, listing.rows)
        owned = [sidecar] if sidecar and sidecar != drop.key else []
        return {key: listing.objects[key].etag for key in (*owned, *layout.named_after(drop.key, listing.objects))}

    def examine(self, drop: Drop, listing: Listing) -> Wanted:
        """The job that a drop asks for; raises ``BadInput`` for what keeps it from having one."""
        safe_key(drop.key)
        kind = layout.role(drop.key)
        if kind is Role.SIDECAR:
            raise UnreadableSidecar(f"there is no film or document beside {drop.key}", hint="drop both together")
        if drop.size_bytes > self._settings.max_source_bytes:
            raise LimitExceeded(
                f"{drop.key} has {drop.size_bytes} bytes, more than the {self._settings.max_source_bytes} allowed",
                hint="cut it, or raise SPEECHMILL_MAX_SOURCE_BYTES",
            )
        model: type[DubbingRequest] | type[PodcastRequest]
        model = PodcastRequest if kind is Role.DOCUMENT else DubbingRequest
        asked, beside = self._asked(drop, listing, model)
        if model is DubbingRequest and "targets" not in asked:
            self._refuse_strange(drop)
            raise UnreadableSidecar(
                f"nobody says which languages {drop.key} is to be dubbed into",
                hint=f'drop it together with {layout.sidecars_of(drop.key)[1]}, holding {{"targets": ["es"]}}, or set '
                "SPEECHMILL_DROP_TARGETS",
            )
        request = make_request(
            model, _sidecar(drop.key, listing.rows) or drop.key, asked, source=self.place.source(drop.key)
        )
        within = admission.admit(request, self._settings, *roots_of(self.place))
        refuse_unaskable(request.approve, self._settings, prefect=self._prefect)
        if isinstance(request, DubbingRequest):
            self._sniff(drop)
            from flows.dubbing import foresee

            foresee(request, self._settings, within)
        body = request.model_dump(mode="json")
        return Wanted(
            drop,
            "podcast" if kind is Role.DOCUMENT else "dub",
            body,
            digest_of_json([drop.name, body]),
            results_of(request, str(self._settings.home / "out")),
            {"beside": beside},
            {} if within is None else {WITHIN: list(within)},
        )

    def _asked(
        self, drop: Drop, listing: Listing, model: type[DubbingRequest] | type[PodcastRequest]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """What is asked of a drop, and the files that belong to it: settings, then defaults, then its sidecar."""
        asked: dict[str, Any] = {}
        beside: dict[str, str] = {}
        if model is DubbingRequest and self._settings.drop_targets:
            asked["targets"] = list(self._settings.drop_targets)
        for key in layout.defaults_of(drop.key):
            if key in listing.objects:
                found, _ = self._named(key, drop, listing)
                known = DubbingRequest.model_fields.keys() | PodcastRequest.model_fields.keys()
                # What concerns films only is no concern of a document's; what concerns neither is a mistake.
                asked |= {
                    name: value for name, value in found.items() if name in model.model_fields or name not in known
                }
        folder = layout.profile_of(drop.key, profiles.names())
        if folder is not None:
            asked["profile"] = folder
        sidecar = _sidecar(drop.key, listing.rows)
        if sidecar is not None:
            found, named = self._named(sidecar, drop, listing)
            asked |= found
            beside = {sidecar: listing.objects[sidecar].etag, **named}
        return asked, beside

    def _named(self, key: str, drop: Drop, listing: Listing) -> tuple[dict[str, Any], dict[str, str]]:
        """A sidecar, the files that it names made whole paths, and those of them that lie in the place."""
        found = read_sidecar(key.rpartition("/")[2], self.place.read(key, MOST_BYTES + 1))
        beside: dict[str, str] = {}

        def whole(name: object) -> object:
            if not isinstance(name, str) or name.startswith("/") or "://" in name:
                return name
            there = layout.beside(key, name)
            if there is None or there not in listing.rows or not _is_safe(there):
                if drop.age_s < self._settings.sidecar_grace_s:
                    raise Waits
                raise UnreadableSidecar(f"{key} names {name[:80]!r}, which is not beside it", hint="drop them together")
            if not self._is_whole(listing.rows[there]):
                raise Waits
            beside[there] = listing.objects[there].etag
            return self.place.source(there)

        found |= {field: whole(name) for field, name in files_of(found).items()}
        if isinstance(found.get("translations"), dict):
            found["translations"] = {tag: whole(name) for tag, name in found["translations"].items()}
        if isinstance(found.get("show"), str):
            found["show"] = show_at(self.place, key, found["show"], UnreadableSidecar)
        return found, beside

    def _refuse_strange(self, drop: Drop) -> None:
        """Raise ``UnreadableMedia`` for what is no film, and no document by its name: nobody would dub it."""
        try:
            self._sniff(drop)
        except UnreadableMedia as error:
            name = drop.key.rpartition("/")[2]
            raise UnreadableMedia(
                f"{name} is neither a film or recording nor a document: {error.message}",
                hint=f"give a document one of the endings {' '.join(sorted(layout.DOCUMENTS))}",
            ) from None

    def _sniff(self, drop: Drop) -> None:
        path = self.place.path(drop.key)
        if path is not None:
            sniff(path, most_bytes=self._settings.max_source_bytes)
        else:
            refuse_by_head(Path(safe_name(drop.key)), self.place.read(drop.key, HEAD_BYTES))


def roots_of(place: Place) -> tuple[str, ...]:
    """What may be named by whoever drops something into a place."""
    folders = ("in", "shows") if place.path(layout.SHOWS) is not None else ("in",)
    return tuple(place.source(each) for each in folders)


def show_at(place: Place, who: str, named: str, refusal: type[UnreadableSidecar | UnreadableManifest]) -> str:
    """The show that is named by what was dropped: in the place's ``shows/``, or by its whole path. It cannot lie in
    ``in/``, which what is dropped there leaves with its files, and where its feed would be taken for a drop."""
    if place.path(layout.SHOWS) is None:
        raise refusal(f"{who} names a show, whose feed cannot be kept in a bucket", hint="leave it out")
    if named.startswith("/") or "://" in named:
        found: Path | None = Path(named)
    else:
        key = layout.show_key(named)
        found = None if key is None else place.path(key)
    incoming = place.path("in")
    if found is None or (incoming is not None and found.is_relative_to(incoming)) or not found.is_file():
        raise refusal(
            f"{who} names the show {named[:80]!r}, which is not there",
            hint="put it into shows/ beside in/, where its feed and its episodes stay, and name it relative to that",
        )
    return str(found)


def results_of(request: DubbingRequest | PodcastRequest, otherwise: str) -> str:
    """Where the results of a dropped job are made: an episode in the folder of its show, from where it is heard, since
    nobody is there who could copy it."""
    show = request.show if isinstance(request, PodcastRequest) else None
    return str(Path(show).parent) if show else otherwise


def _sidecar(key: str, rows: Mapping[str, Drop]) -> str | None:
    return next((each for each in layout.sidecars_of(key) if each in rows), None)


def _is_safe(key: str) -> bool:
    try:
        safe_key(key)
    except BadInput:
        return False
    return True
