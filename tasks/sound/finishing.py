"""Finishing: a mix mastered, encoded, and measured after encoding; again where coding has raised a peak too far, or
moved the loudness further than a few pieces of it told."""

from __future__ import annotations

from collections.abc import Sequence

from speechmill.profiles import Profile
from speechmill.reports import Loudness
from tasks.checks import measure_encoded
from tasks.sound import mastering, mixing
from tasks.sound.encoding import Coder
from tasks.sound.mastering import Master
from tasks.sound.mixing import Mix
from tasks.workplace import Workplace

TRIES = 3  # after this, a peak that lossy coding raised over the limit is for a person
CEILING_SPARE_DB = 0.1  # below what was just too high
OFF_LU = 0.3  # further from the target than this is mastered again: profiles allow 0.5


def finish(
    place: Workplace, mix: Mix, chosen: Profile, language: str, coders: Sequence[Coder], *, stem: bool = True
) -> tuple[Master, Loudness]:
    """The master, and what the first of its lossy forms measures: what it is heard as."""
    spans = mixing.spoken(mix.timeline) if chosen.loudness.dialogue_gated else None

    known: dict[str, float] = place.catalog.job(place.job).facts.get("coding_lu", {})

    def tried(again: str, ceiling_db: float | None, coding_lu: float | None) -> tuple[Master, Loudness]:
        # The gain of an earlier run is kept while it serves: then an edited line leaves all other parts as they were.
        gains = place.catalog.job(place.job).facts.get("gain_db", {})
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
                ceiling_db=ceiling_db,
                coding_lu=coding_lu,
                previous_gain_db=gains.get(language),
                on_part=on_part,
            )
        place.catalog.set_job_facts(
            place.job,
            gain_db={**gains, language: made.gain_db},
            coding_lu={**known, language: made.coding_lu},
        )
        heard = made.encoded[coders[0].name].sha256
        with place.stages(f"measure {language}{again}"):
            return made, measure_encoded(place.here, heard, threads=place.settings.threads, spans=spans)

    # What coding does to the loudness is much the same after an edit.
    made, loudness = tried("", None, known.get(language))
    for _ in range(TRIES - 1):
        over_db = loudness.true_peak_dbtp - chosen.loudness.true_peak_dbtp
        off_lu = loudness.integrated_lufs - chosen.loudness.target_lufs(mix.layout.channels)
        off = made.met and abs(off_lu) > OFF_LU
        if over_db <= 0 and not off:
            break
        ceiling_db = made.ceiling_db - (over_db + CEILING_SPARE_DB if over_db > 0 else 0.0)
        coding_lu = round(loudness.integrated_lufs - made.integrated_lufs, 2) if off else made.coding_lu
        made, loudness = tried(" again", ceiling_db, coding_lu)
    return made, loudness
