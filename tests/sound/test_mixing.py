"""The mix: every clip at its sample, the bed untouched, the same sound whatever the block."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechmill.lines import RATE_HZ, samples_of_ms
from speechmill.timeline import Clip, Timeline
from storage.artifacts import ArtifactStore
from storage.objects import FolderStore
from tasks.sound import layouts
from tasks.sound.loudness import amplitude
from tasks.sound.mixing import (
    BRIDGE_SAMPLES,
    DUCK_DB,
    FADE_SAMPLES,
    RAMP_SAMPLES,
    Background,
    Mix,
    Renderer,
    duck_gain,
    merged,
    spoken,
)
from tests.keeping import keep_file

SILENCE = 4_800  # around the speech of a take


@pytest.fixture
def take(keep, speech):
    """A take with silence around its speech: digest, first heard sample, one past the last."""
    quiet = np.zeros(SILENCE, np.float32)
    said = speech[20_000:100_000].copy()
    said[[0, -1]] = 0.25  # a first and a last sample that can be recognised
    return keep(np.concatenate([quiet, said, quiet])), SILENCE, SILENCE + len(said)


def spoken_alone(length, clips):
    return mix_of(length, clips, layout=layouts.MONO, background=Background.DROP)


def clip(take, start, *, rate=1.0, gain_db=0.0, line_id="L1"):
    digest, first, last = take
    return Clip(line_id, digest, start, round((last - first) / rate), first, last, rate, gain_db)


def mix_of(length, clips, sound=None, background=Background.BED, layout=layouts.STEREO, speech=()):
    return Mix(Timeline.of(length, clips), layout, background, sound, speech)


def test_a_bed_is_untouched_and_a_clip_is_added_in_the_phantom_centre(store, keep, take, speech, make_music):
    bed = make_music(5)
    mix = mix_of(len(bed), [clip(take, 50_000)], keep(bed))
    found = Renderer(mix, store).mixed(0, len(bed))
    added = found - bed
    np.testing.assert_array_equal(added[: 50_000 - FADE_SAMPLES], 0)
    np.testing.assert_array_equal(added[130_000 + FADE_SAMPLES :], 0)
    np.testing.assert_allclose(added[50_001:129_999, 0], speech[20_001:99_999] * np.sqrt(0.5), atol=1e-7)
    np.testing.assert_allclose(added[:, 0], added[:, 1], atol=1e-7)


@pytest.mark.parametrize("rate", [1.0, 1.1, 1.35, 0.9])
def test_a_clip_begins_and_ends_at_its_samples(store, take, rate):
    placed = clip(take, 60_001, rate=rate)
    found = Renderer(spoken_alone(300_000, [placed]), store).dialogue(0, 300_000)[:, 0]
    heard = np.flatnonzero(found)
    assert (heard[0], heard[-1]) == (placed.start_samples, placed.end_samples - 1)
    assert found[placed.start_samples] == found[placed.end_samples - 1] == 0.25


@pytest.mark.parametrize(("layout", "where"), [("mono", {0: 1.0}), ("5.1", {2: 1.0}), ("7.1", {2: 1.0})])
def test_dialogue_goes_to_the_centre(store, keep, take, layout, where):
    chosen = layouts.of_name(layout)
    bed = np.full((100_000, chosen.channels), 0.01, np.float32)
    renderer = Renderer(mix_of(100_000, [clip(take, 10_000)], keep(bed), layout=chosen), store)
    added, dialogue = renderer.mixed(0, 100_000) - np.float32(0.01), renderer.dialogue(0, 100_000)
    for channel in range(chosen.channels):
        np.testing.assert_allclose(added[:, channel], dialogue[:, 0] * where.get(channel, 0.0), atol=1e-7)


def test_dialogue_is_as_loud_in_every_layout():
    for name in set(layouts.NAMES.values()):
        layout = layouts.of_name(name)
        power = sum(g**2 * w for g, w in zip(layout.dialogue, layout.weights, strict=True))
        assert power == pytest.approx(1.0), name


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 239_999), max_size=8))
def test_any_blocks_make_the_same_mix_bit_for_bit(rendered_once, cuts):
    renderer, whole = rendered_once
    edges = sorted({0, *cuts, len(whole)})
    pieces = [renderer.mixed(a, b) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.fixture(scope="module")
def rendered_once(tmp_path_factory, speech, make_music, new_index):
    folder = tmp_path_factory.mktemp("mix")

    store = ArtifactStore(FolderStore(folder / "objects"), new_index(), folder / "scratch")
    for name, sound in (("take", speech[:90_000]), ("bed", make_music(4))):
        soundfile.write(folder / f"{name}.wav", sound, RATE_HZ, subtype="FLOAT")
    take = (keep_file(store, folder / "take.wav").sha256, 3_000, 80_000)
    clips = [clip(take, 20_000, rate=1.2), clip(take, 60_000, line_id="L2"), clip(take, 150_000, rate=0.95, gain_db=-3)]
    bed = keep_file(store, folder / "bed.wav").sha256
    renderer = Renderer(mix_of(240_000, clips, bed, Background.DUCK, speech=((10_000, 30_000),)), store)
    return renderer, renderer.mixed(0, 240_000)


def test_the_background_is_ducked_where_anybody_speaks_and_nowhere_else(store, keep):
    flat = np.full((6 * RATE_HZ, 2), 0.5, np.float32)
    quiet_take = (keep(np.zeros(48_000, np.float32)), 0, 48_000)
    mix = mix_of(len(flat), [clip(quiet_take, 200_000)], keep(flat), Background.DUCK, speech=((48_000, 72_000),))
    level = Renderer(mix, store).mixed(0, len(flat))[:, 0] / 0.5
    assert mix.ducked == ((48_000, 72_000), (200_000, 248_000))
    for start, end in mix.ducked:
        np.testing.assert_allclose(level[start:end], amplitude(DUCK_DB), rtol=1e-6)
        np.testing.assert_array_equal(level[end + RAMP_SAMPLES : end + RAMP_SAMPLES + 10], 1)
        np.testing.assert_array_equal(level[start - RAMP_SAMPLES - 10 : start - RAMP_SAMPLES], 1)
    assert samples_of_ms(60) <= RAMP_SAMPLES <= samples_of_ms(80)
    # The steepest step of a raised cosine: anything steeper is a click.
    assert np.abs(np.diff(level)).max() <= 1.01 * (1 - amplitude(DUCK_DB)) * np.pi / 2 / RAMP_SAMPLES
    assert np.abs(np.diff(level, 2)).max() < 1e-6 + 1.01 * (np.pi / RAMP_SAMPLES) ** 2 / 2


def test_short_pauses_stay_ducked_and_long_ones_do_not():
    spans = [(0, 100), (100 + BRIDGE_SAMPLES, 90_000), (91_000 + BRIDGE_SAMPLES, 200_000), (150_000, 160_000)]
    assert merged(spans, BRIDGE_SAMPLES) == ((0, 90_000), (91_000 + BRIDGE_SAMPLES, 200_000))
    assert duck_gain(merged(spans, BRIDGE_SAMPLES), 300_000, 310_000) is None


def test_dropped_means_nothing_of_the_original_is_left(store, keep, take, make_music):
    mix = mix_of(200_000, [clip(take, 100_000)], keep(make_music(5)), Background.DROP)
    found = Renderer(mix, store).mixed(0, 200_000)
    np.testing.assert_array_equal(found[: 100_000 - FADE_SAMPLES], 0)
    np.testing.assert_array_equal(found[180_000 + FADE_SAMPLES :], 0)
    assert found[100_000:180_000].any()


@pytest.mark.parametrize("background", [Background.BED, Background.DROP])
def test_the_original_is_not_heard_in_full_under_a_dub_that_runs_into_what_is_left_of_it(store, keep, background):
    """In place of a bed it is heard where nobody speaks over it."""
    bed, original = (np.full((6 * RATE_HZ, 2), level, np.float32) for level in (0.25, 0.5))
    quiet_take = (keep(np.zeros(48_000, np.float32)), 0, 48_000)
    timeline = Timeline.of(len(bed), [clip(quiet_take, 80_000)])  # to 128,000
    left = ((100_000, 200_000),)
    mix = Mix(timeline, layouts.STEREO, background, keep(bed), left=left, original=keep(original))
    level = Renderer(mix, store).mixed(0, len(bed))[:, 0]
    under = 0.25 if background is Background.BED else 0.0
    np.testing.assert_allclose(level[: 128_000 - RAMP_SAMPLES], under, atol=1e-6)
    np.testing.assert_allclose(level[128_000:200_000], 0.5, atol=1e-6)
    np.testing.assert_allclose(level[200_000 + RAMP_SAMPLES :], under, atol=1e-6)


def test_a_short_bed_is_followed_by_silence_and_a_long_one_is_cut(store, keep, make_music):
    bed = make_music(1)
    digest = keep(bed)
    longer = Renderer(mix_of(100_000, [], digest), store).mixed(0, 100_000)
    np.testing.assert_array_equal(longer[: len(bed)], bed)
    np.testing.assert_array_equal(longer[len(bed) :], 0)
    np.testing.assert_array_equal(Renderer(mix_of(30_000, [], digest), store).mixed(0, 30_000), bed[:30_000])


def test_the_noise_around_a_take_fades_and_its_speech_does_not(store, keep):
    noise = np.full(30_000, 0.1, np.float32)
    placed = Clip("L1", keep(noise), 50_000, 20_000, 5_000, 25_000)
    found = Renderer(spoken_alone(100_000, [placed]), store).dialogue(0, 100_000)[:, 0]
    np.testing.assert_array_equal(found[50_000:70_000], noise[:20_000])
    assert found[50_000 - FADE_SAMPLES] < 1e-5
    assert np.abs(np.diff(found)).max() < 0.1 * 2 / FADE_SAMPLES
    assert not found[: 50_000 - FADE_SAMPLES].any()


def test_three_hours_of_lines_are_each_at_their_sample(store, keep):
    length, count = 3 * 3600 * RATE_HZ, 2_700
    mark = np.zeros(40_000, np.float32)
    mark[1_000] = mark[30_999] = 1.0
    digest = keep(mark)
    rng = np.random.default_rng(3)
    starts = np.sort(rng.choice(np.arange(10_000, length - 60_000, 60_001), count, replace=False)) + 17
    rates = rng.choice([1.0, 1.07, 1.2, 1.35], count)
    clips = [
        Clip(f"L{i}", digest, int(s), round(30_000 / r), 1_000, 31_000, float(r))
        for i, (s, r) in enumerate(zip(starts, rates, strict=True))
    ]
    renderer = Renderer(spoken_alone(length, clips), store)
    for placed in clips[::30]:
        around = renderer.dialogue(placed.start_samples - 500, placed.end_samples + 500)[:, 0]
        assert np.argmax(around) == 500
        assert np.flatnonzero(around)[-1] == 500 + placed.length_samples - 1


def test_what_a_recipe_names_is_all_that_is_heard(take):
    clips = [clip(take, s, line_id=f"L{s}") for s in (100_000, 400_000, 700_000)]
    before = mix_of(1_000_000, clips, background=Background.DUCK, speech=((90_000, 200_000),))
    after = mix_of(
        1_000_000, [*clips[:2], clip(take, 710_000)], background=Background.DUCK, speech=((90_000, 200_000),)
    )
    assert before.described(0, 500_000) == after.described(0, 500_000)
    assert before.described(500_000, 1_000_000) != after.described(500_000, 1_000_000)
    louder = mix_of(1_000_000, [clip(take, 100_000, gain_db=1.0), *clips[1:]], background=Background.DUCK)
    assert louder.described(0, 200_000) != before.described(0, 200_000)
    assert spoken(before.timeline)[0] == (100_000, 180_000)
