"""The studio of an episode: the seats of its speakers, and its music; asked for, or the show's own."""

from __future__ import annotations

from pathlib import Path

from speechmill.episodes import SIMPLE, PodcastRequest
from tasks import music
from tasks.episode.shows import Show, read_show
from tasks.recording import Studio
from tasks.sound.composing import Kind
from tasks.workplace import Workplace

KINDS: tuple[Kind, ...] = ("intro", "bed", "outro")


def take_in(place: Workplace, request: PodcastRequest) -> Studio:
    """Music is decoded and measured. Raises ``BadInput`` for a file that is not there or is no music."""
    show = read_show(Path(request.show), place.within) if request.show else None
    chosen = {kind: source for kind in KINDS if (source := _source(place, kind, request, show))}
    return Studio(music.take_in(place, chosen), request.seats or bool(show and show.seats))


def _source(place: Workplace, kind: Kind, request: PodcastRequest, show: Show | None) -> str:
    asked: str | None = getattr(request, kind)
    own: Path | None = getattr(show, kind, None)
    if asked or own is None or str(own) == SIMPLE:
        return asked or str(own or "")
    return str(place.taken(own))
