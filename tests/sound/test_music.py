"""Music around and under speech: where it begins and ends, how far it steps back, and that it has no seams."""

from __future__ import annotations

import numpy as np
import pytest

from speechmill.lines import RATE_HZ
from speechmill.recipes import Digest
from speechmill.timeline import Clip, Timeline
from tasks.music import Track, arrange, lead_samples
from tasks.sound import composing, layouts
from tasks.sound.mixing import MUSIC_DUCK_DB, Background, Mix, Renderer
from tasks.sound.music import Piece

SECOND = RATE_HZ


@pytest.fixture
def tone(keep):
    t = np.arange(2 * SECOND) / RATE_HZ
    sound = np.stack([0.2 * np.sin(2 * np.pi * 220 * t), 0.2 * np.sin(2 * np.pi * 330 * t)], 1).astype(np.float32)
    return keep(sound), sound


def silent_speech(keep, start, length):
    quiet = keep(np.zeros(length, np.float32))
    return Clip("1", quiet, start, length, 0, length)


def test_music_steps_back_for_speech_and_returns(store, keep, tone):
    digest, sound = tone
    bed = Piece(digest, len(sound), 0, 12 * SECOND)
    said = silent_speech(keep, 4 * SECOND, 3 * SECOND)
    mix = Mix(Timeline.of(12 * SECOND, [said]), layouts.STEREO, Background.DROP, music=(bed,))
    found = Renderer(mix, store).mixed(0, 12 * SECOND)

    def level_db(start_s, end_s):
        return 20 * np.log10(np.sqrt((found[int(start_s * SECOND) : int(end_s * SECOND)] ** 2).mean()))

    assert level_db(4.2, 6.8) - level_db(1, 3) == pytest.approx(MUSIC_DUCK_DB, abs=0.2)
    assert level_db(8, 11) == pytest.approx(level_db(1, 3), abs=0.1)
    assert np.abs(np.diff(found, axis=0)).max() < 0.02  # no click, neither at a ramp nor where the bed begins again


def test_parts_that_are_rendered_apart_are_those_of_the_whole(store, keep, tone):
    digest, sound = tone
    pieces = (
        Piece(digest, len(sound), 1000, 7 * SECOND, -3.0, 30_000, 50_000),
        Piece(digest, len(sound), SECOND, SECOND),
    )
    mix = Mix(Timeline.of(9 * SECOND, [silent_speech(keep, 90_000, SECOND)]), layouts.STEREO, Background.DROP,
              music=pieces)  # fmt: skip
    whole = Renderer(mix, store).mixed(0, 9 * SECOND)
    parts = [Renderer(mix, store).mixed(a, a + 43_200) for a in range(0, 9 * SECOND, 43_200)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_what_is_far_from_a_part_does_not_change_its_recipe(tone):
    digest, sound = tone

    def mix(end):
        bed = Piece(digest, len(sound), 0, end, 0.0, 4800, 48_000)
        return Mix(Timeline.of(end, []), layouts.STEREO, Background.DROP, music=(bed,))

    assert mix(60 * SECOND).described(0, 10 * SECOND) == mix(70 * SECOND).described(0, 10 * SECOND)
    assert mix(60 * SECOND).described(50 * SECOND, 60 * SECOND) != mix(70 * SECOND).described(50 * SECOND, 60 * SECOND)


def test_a_seat_is_as_loud_as_any_other_and_where_it_should_be(store, keep, speech):
    take = keep(speech)
    for pan in (-1.0, -0.5, 0.5, 1.0):
        clip = Clip("1", take, 0, len(speech), 0, len(speech), pan=pan)
        found = Renderer(Mix(Timeline.of(len(speech), [clip]), layouts.STEREO, Background.DROP), store)
        left, right = found.mixed(0, len(speech)).T.astype(float)
        assert (left**2).sum() + (right**2).sum() == pytest.approx((speech.astype(float) ** 2).sum(), rel=1e-4)
        assert ((right**2).sum() > (left**2).sum()) == (pan > 0)


def test_the_intro_leads_into_the_first_word_and_the_outro_out_of_the_last():
    music = Digest("a" * 64)
    tracks = {kind: Track(music, 6 * SECOND, -2.0) for kind in ("intro", "bed", "outro")}
    lead = lead_samples(tracks)
    assert lead == 4 * SECOND
    said = Clip("1", music, lead, 10 * SECOND, 0, 10 * SECOND)
    timeline, (intro, outro, bed) = arrange(Timeline.of(15 * SECOND, [said]), tracks)
    assert (intro.start_samples, intro.end_samples) == (0, 6 * SECOND)
    assert outro.start_samples < said.end_samples < outro.end_samples == timeline.length_samples
    assert (bed.start_samples, bed.end_samples) == (said.start_samples, said.end_samples)
    assert timeline.clips == (said,)


@pytest.mark.parametrize(("kind", "seconds"), [("intro", 6), ("bed", 16), ("outro", 6)])
def test_music_made_here_is_the_same_every_time_has_no_seam_and_does_not_clip(kind, seconds):
    made = composing.compose(kind)
    np.testing.assert_array_equal(made, composing.compose(kind))
    assert made.shape == (seconds * SECOND, 2)
    assert 0.1 < np.abs(made).max() < 0.5
    around = np.concatenate([made[-2000:], made[:2000]])
    assert np.abs(np.diff(around, axis=0)).max() <= np.abs(np.diff(made, axis=0)).max()
