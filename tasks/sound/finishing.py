"""Finishing: a mix mastered, encoded, and measured after encoding; again where coding has raised a peak too far, has
moved the loudness further than a few pieces of it told, or has left more room under the peak than was thought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from speechmill.profiles import Profile
from speechmill.reports import Loudness
from tasks.checks import measure_encoded
from tasks.sound import mastering, mixing
from tasks.sound.encoding import Coder
from tasks.sound.loudness import SILENCE_LUFS
from tasks.sound.mastering import Master
from tasks.sound.mixing import Mix
from tasks.sound.overshoot import Overshoots, overshoots
from tasks.workplace import Workplace

TRIES = 6  # what is not right then is for a person; on speech over music one to three are made
OFF_LU = 0.3  # further from the target than this is mastered again: profiles allow 0.5
METERS_DB = 0.1  # by which another meter may read a peak higher than ours
LEAST_MARGIN_DB = 0.3  # between ceiling and limit: with less, coding raises so many peaks too far that nothing is won


@dataclass(frozen=True, slots=True)
class Aim:
    """What a master is made with, as far as earlier ones have taught it."""

    ceiling_db: float
    overshoots: Overshoots
    coding_lu: float | None  # by how much coding makes it louder; None where nobody knows


@dataclass(frozen=True, slots=True)
class Tried:
    """A master, and what the first of its lossy forms measures: what it is heard as."""

    master: Master
    loudness: Loudness
    over_db: float  # of the true peak; 0 where it is legal
    off_lu: float


def finish(
    place: Workplace, mix: Mix, chosen: Profile, language: str, coders: Sequence[Coder], *, stem: bool = True
) -> tuple[Master, Loudness]:
    """The master, and what it is heard as; of several, the legal one that is nearest to its target."""
    limit_db = chosen.loudness.true_peak_dbtp
    # What coding does to the loudness is much the same after an edit.
    known_lu: dict[str, float] = place.catalog.job(place.job).facts.get("coding_lu", {})
    aim: Aim | None = Aim(limit_db - chosen.encoding.codec_margin_db, Overshoots.none(), known_lu.get(language))
    tries: list[Tried] = []
    for number in count():
        assert aim is not None
        tries.append(_tried(place, mix, chosen, language, coders, aim, number, stem=stem))
        if number == 0:
            place.catalog.set_job_facts(place.job, coding_lu={**known_lu, language: tries[0].master.coding_lu})
        aim = better(place, aim, tries[-1], coders[0].name, limit_db) if number + 1 < TRIES else None
        if aim is None:
            break
    best = min(tries, key=lambda tried: (tried.over_db, abs(tried.off_lu)))
    return best.master, best.loudness


def better(place: Workplace, aim: Aim, tried: Tried, coder: str, limit_db: float) -> Aim | None:
    """What to aim at after a try; ``None`` where it is good enough, or as good as it gets."""
    made, most_db = tried.master, limit_db - LEAST_MARGIN_DB
    found = aim
    if tried.loudness.integrated_lufs <= SILENCE_LUFS:
        return None
    if tried.over_db > 0:
        encoded = made.encoded[coder].sha256
        over = overshoots(place.here, encoded, made.level.peaks, limit_db - METERS_DB)
        found = replace(found, overshoots=aim.overshoots | over)
    if made.met and abs(tried.off_lu) > OFF_LU:
        found = replace(found, coding_lu=round(tried.loudness.integrated_lufs - made.integrated_lufs, 2))
    elif not made.met and tried.off_lu < -OFF_LU and aim.ceiling_db < most_db:
        found = replace(found, ceiling_db=most_db)
    return found if found is not aim else None


def _tried(
    place: Workplace,
    mix: Mix,
    chosen: Profile,
    language: str,
    coders: Sequence[Coder],
    aim: Aim,
    number: int,
    *,
    stem: bool,
) -> Tried:
    spans = mixing.spoken(mix.timeline) if chosen.loudness.dialogue_gated else None
    # The gains of an earlier run, try by try, are kept while they serve: then an edited line leaves all other parts as
    # they were.
    gains: dict[str, list[float]] = place.catalog.job(place.job).facts.get("gains_db", {})
    own = gains.get(language, [])
    again = " again" if number else ""
    parts = 0
    with place.stages(f"master {language}{again}") as advance:

        def on_part(done: int, of: int) -> None:
            nonlocal parts
            advance(done - parts, of)
            parts = done

        made = mastering.master(
            mix,
            chosen,
            place.here,
            coders=coders,
            threads=place.settings.threads,
            stem=stem,
            ceiling_db=aim.ceiling_db,
            overshoots=aim.overshoots,
            coding_lu=aim.coding_lu,
            previous_gain_db=own[number] if number < len(own) else None,
            on_part=on_part,
        )
    place.catalog.set_job_facts(
        place.job, gains_db={**gains, language: [*own[:number], made.gain_db, *own[number + 1 :]]}
    )
    with place.stages(f"measure {language}{again}"):
        encoded = made.encoded[coders[0].name].sha256
        loudness = measure_encoded(place.here, encoded, threads=place.settings.threads, spans=spans)
    return Tried(
        made,
        loudness,
        over_db=max(0.0, loudness.true_peak_dbtp - chosen.loudness.true_peak_dbtp),
        off_lu=loudness.integrated_lufs - chosen.loudness.target_lufs(mix.layout.channels),
    )
