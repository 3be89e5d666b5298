"""The master, measured by another meter on the encoded file, and counted: what an edit makes again."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from speechmill.lines import RATE_HZ
from speechmill.profiles import Profile, profile
from speechmill.timeline import Clip, Timeline
from tasks.sound import layouts, mastering
from tasks.sound.encoding import Aac
from tasks.sound.gain import KEEP_LU
from tasks.sound.loudness import amplitude, decibels
from tasks.sound.mixing import FADE_SAMPLES, RAMP_SAMPLES, Background, Mix

SECONDS = 26


@pytest.fixture
def clips(keep, speech):
    """Lines every five seconds, spoken by one voice at several speeds."""
    take = keep(np.concatenate([np.zeros(2_400, np.float32), speech[:150_000], np.zeros(2_400, np.float32)]))
    other = keep(np.concatenate([np.zeros(2_400, np.float32), speech[60_000:210_000], np.zeros(2_400, np.float32)]))

    def made(changed: int | None = None):
        rates = (1.0, 1.1, 1.2)
        return [
            Clip(
                f"L{i}",
                other if i == changed else take,
                start,
                round(150_000 / rates[i % 3]),
                2_400,
                152_400,
                rates[i % 3],
            )
            for i, start in enumerate(range(48_000, (SECONDS - 5) * RATE_HZ, 5 * RATE_HZ))
        ]

    return made


def mix_of(clips, sound, layout=layouts.STEREO, background=Background.DUCK, length=SECONDS * RATE_HZ):
    speech = tuple((c.start_samples + 3_000, c.end_samples + 20_000) for c in clips)
    return Mix(Timeline.of(length, clips), layout, background, sound, speech)


def with_target(lufs: float, peak_dbtp: float = -1.0) -> Profile:
    base = profile("youtube")
    wanted = {"integrated_lufs": lufs, "mono_integrated_lufs": None, "true_peak_dbtp": peak_dbtp}
    loudness = base.loudness.model_copy(update=wanted)
    return base.model_copy(update={"loudness": loudness})


def make(mix, chosen, store, **options):
    coders = [Aac(mix.layout, chosen.encoding, "es")]
    return mastering.master(mix, chosen, store, coders=coders, threads=2, **options)


def counted(store, before) -> Counter:
    return Counter({operation: n for (operation, how), n in (store.tally - before).items() if how == "made"})


@pytest.mark.parametrize("target", [-14.0, -16.0, -23.0, -27.0])
def test_the_encoded_file_meets_its_profile(target, store, keep, clips, make_music, judge):
    mix = mix_of(clips(), keep(make_music(SECONDS)))
    found = make(mix, with_target(target), store)
    lufs, peak_db, _ = judge(store.path(found.encoded["m4a"].sha256))
    assert lufs == pytest.approx(target, abs=0.5)
    assert peak_db <= -1.0
    assert found.met
    lossless_lufs, lossless_peak_db, _ = judge(store.path(found.flac.sha256))
    assert found.integrated_lufs == pytest.approx(lossless_lufs, abs=0.15)
    assert lossless_peak_db <= found.ceiling_db + 0.1


@pytest.mark.parametrize("layout", ["mono", "5.1"])
def test_other_layouts_meet_it_as_well(layout, store, keep, clips, make_music, judge):
    chosen = layouts.of_name(layout)
    mix = mix_of(clips(), keep(make_music(SECONDS, chosen.channels)), chosen)
    found = make(mix, profile("podcast"), store)
    lufs, peak_db, _ = judge(store.path(found.encoded["m4a"].sha256))
    assert lufs == pytest.approx(-19.0 if layout == "mono" else -16.0, abs=0.5)
    assert peak_db <= -1.0
    assert soundfile.info(store.path(found.flac.sha256)).channels == chosen.channels


def test_dialogue_gated_profiles_are_met_over_the_lines(store, keep, clips, make_music):
    from tasks.sound.mixing import spoken
    from tasks.sound.sources import measure_source

    mix = mix_of(clips()[:2], keep(make_music(SECONDS) * 3), background=Background.BED)
    found = make(mix, profile("netflix"), store)
    master, _ = soundfile.read(store.path(found.flac.sha256), dtype="float32")
    heard = measure_source(keep(master), store, 2)
    assert heard.over(spoken(mix.timeline)) == pytest.approx(-27.0, abs=0.2)
    assert abs(heard.integrated_lufs + 27.0) > 1


def test_outside_speech_the_master_is_the_bed_at_its_one_gain(store, keep, clips, make_music):
    bed = make_music(SECONDS)
    lines = clips()
    found = make(mix_of(lines, keep(bed), background=Background.BED), profile("youtube"), store)
    master, _ = soundfile.read(store.path(found.flac.sha256), dtype="float32")
    away = np.ones(len(bed), bool)
    margin = FADE_SAMPLES + RAMP_SAMPLES + RATE_HZ // 5  # the limiter lets go within an eighth of a second
    for line in lines:
        away[line.start_samples - margin : line.end_samples + margin] = False
    assert away.mean() > 0.1
    difference = master[away] - bed[away] * amplitude(found.gain_db)
    assert decibels(np.abs(difference).max()) <= -120  # half a step of 24 bits, or less


def test_a_song_that_is_kept_with_nothing_under_the_dub_is_heard_to_its_end(store, keep, make_music, decode):
    song = make_music(SECONDS)
    length = len(song)
    # It is longer than several parts, in which nothing else is heard.
    mix = Mix(Timeline.of(length, []), layouts.STEREO, Background.DROP, left=((0, length),), original=keep(song))
    found = make(mix, with_target(-23.0), store)
    master, _ = soundfile.read(store.path(found.flac.sha256), dtype="float32")
    assert decibels(np.abs(master - song * amplitude(found.gain_db)).max()) <= -110
    heard = decode(store.path(found.encoded["m4a"].sha256))[:length]
    off = [np.abs(heard[at : at + RATE_HZ] - master[at : at + RATE_HZ]).max() for at in range(0, length, RATE_HZ)]
    assert max(off) < 0.25 * np.abs(master).max()


@pytest.mark.parametrize(("layout", "heard_in"), [("mono", [0]), ("stereo", [0, 1]), ("5.1", [2])])
def test_the_stem_is_what_dialogue_adds_to_the_channels_that_it_is_heard_in(
    layout, heard_in, store, keep, clips, make_music
):
    chosen = layouts.of_name(layout)
    bed = make_music(SECONDS, chosen.channels)
    quiet = with_target(-23.0)  # nothing is limited, so the bed can be taken away again
    found = make(mix_of(clips(), keep(bed), chosen, Background.BED), quiet, store)
    master, _ = soundfile.read(store.path(found.flac.sha256), dtype="float32", always_2d=True)
    stem, _ = soundfile.read(store.path(found.dialogue.sha256), dtype="float32", always_2d=True)
    left = master - bed * amplitude(found.gain_db)
    left[:, heard_in] -= stem
    assert decibels(np.abs(left).max()) <= -120


def test_an_edited_line_makes_its_own_part_again_and_no_other(store, keep, clips, make_music):
    sound = keep(make_music(SECONDS))
    first = make(mix_of(clips(), sound), profile("youtube"), store)
    many = len(mastering.parts(SECONDS * RATE_HZ))
    assert many == 5
    before = store.tally
    again = make(mix_of(clips(), sound), profile("youtube"), store, previous_gain_db=first.gain_db)
    assert not counted(store, before)
    assert again.flac.sha256 == first.flac.sha256
    before = store.tally
    edited = make(mix_of(clips(changed=3), sound), profile("youtube"), store, previous_gain_db=first.gain_db)
    made = counted(store, before)
    assert edited.gain_db == first.gain_db
    for operation in ("measure mix", "master part", "dialogue part", "encode m4a"):
        assert 1 <= made[operation] <= 2, made
    assert sum(made.values()) <= 2 * 4 + 3


def test_parts_are_the_whole(store, keep, clips, make_music, monkeypatch):
    sound = keep(make_music(SECONDS))
    mix = mix_of(clips(), sound)
    in_parts = make(mix, profile("youtube"), store)
    monkeypatch.setattr(mastering, "LEAST_PARTS", 1)
    assert len(mastering.parts(mix.length_samples)) == 1
    whole = make(mix, profile("youtube"), store)
    assert whole.gain_db == in_parts.gain_db
    one, _ = soundfile.read(store.path(whole.flac.sha256), dtype="int32")
    several, _ = soundfile.read(store.path(in_parts.flac.sha256), dtype="int32")
    np.testing.assert_array_equal(one, several)


def test_a_lower_ceiling_is_kept_when_asked_for(store, keep, clips, make_music, judge):
    mix = mix_of(clips(), keep(make_music(SECONDS)))
    found = make(mix, profile("youtube"), store, ceiling_db=-4.0)
    assert found.ceiling_db == -4.0
    assert judge(store.path(found.flac.sha256))[1] <= -3.9
    assert judge(store.path(found.encoded["m4a"].sha256))[0] == pytest.approx(-14, abs=0.5)


def test_a_target_that_cannot_be_met_is_said_and_ends(store, keep):
    clicks = np.zeros((20 * RATE_HZ, 2), np.float32)
    clicks[:: RATE_HZ // 2] = 0.9
    found = make(mix_of([], keep(clicks), length=len(clicks)), profile("youtube"), store)
    assert not found.met
    assert found.true_peak_dbtp <= -1.9
    silent = make(mix_of([], keep(np.zeros((RATE_HZ, 2), np.float32)), length=RATE_HZ), profile("youtube"), store)
    assert (silent.met, silent.gain_db, silent.integrated_lufs) == (False, 0.0, -70.0)


def test_a_gain_used_before_is_kept_while_it_is_good_enough(store, keep, clips, make_music):
    mix = mix_of(clips(), keep(make_music(SECONDS)))
    free = make(mix, profile("youtube"), store)
    near = make(mix, profile("youtube"), store, previous_gain_db=free.gain_db + 0.15)
    far = make(mix, profile("youtube"), store, previous_gain_db=free.gain_db + 3)
    assert near.gain_db == pytest.approx(free.gain_db + 0.15)
    assert abs(near.integrated_lufs + 14) <= KEEP_LU
    assert far.gain_db == free.gain_db


def test_progress_is_told_part_by_part(store, keep, clips, make_music):
    told = []
    make(
        mix_of(clips(), keep(make_music(SECONDS))),
        profile("youtube"),
        store,
        on_part=lambda done, of: told.append((done, of)),
    )
    many = 2 * len(mastering.parts(SECONDS * RATE_HZ))
    assert told == [(i + 1, many) for i in range(many)]


@pytest.mark.parametrize("length", [1, 1_000, 307_199, 307_201, 3_000_000])
def test_programmes_of_any_length_are_mastered_whole(length, store, keep, make_music, decode):
    sound = make_music(length / RATE_HZ)
    found = make(mix_of([], keep(sound), length=len(sound)), profile("youtube"), store)
    assert soundfile.info(store.path(found.flac.sha256)).frames == len(sound)
    assert soundfile.info(store.path(found.dialogue.sha256)).frames == len(sound)
    assert 0 <= len(decode(store.path(found.encoded["m4a"].sha256))) - len(sound) < 1_024


MEMORY = """
import sys
from pathlib import Path
import numpy as np, soundfile
from speechmill.profiles import profile
from speechmill.recipes import Artifact
from speechmill.timeline import Clip, Timeline
from storage.artifacts import ArtifactStore
from storage.objects import FolderStore
from tasks.sound import gain, layouts, mastering
from tasks.sound.mixing import Background, Mix, Renderer
from tests.keeping import keep_file

class Index(dict):
    recall = dict.get
    def remember(self, recipe, operation, artifact):
        self[recipe] = Artifact(artifact.sha256, artifact.size_bytes)

folder, minutes = Path(sys.argv[1]), int(sys.argv[2])
store = ArtifactStore(FolderStore(folder / "objects"), Index(), folder / "scratch")
length = minutes * 60 * 48_000
noise = np.random.default_rng(0).uniform(-0.3, 0.3, (48_000, 2)).astype(np.float32)
with soundfile.SoundFile(folder / "sound.wav", "w", 48_000, 2, subtype="FLOAT") as file:
    for _ in range(minutes * 60):
        file.write(noise)
soundfile.write(folder / "take.wav", noise[:, 0], 48_000, subtype="FLOAT")
take = keep_file(store, folder / "take.wav").sha256
clips = [Clip(f"L{i}", take, s, 40_000, 0, 48_000, 1.2) for i, s in enumerate(range(0, length - 50_000, 4 * 48_000))]
mix = Mix(Timeline.of(length, clips), layouts.STEREO, Background.DUCK, keep_file(store, folder / "sound.wav").sha256)
with mastering._Line(mix, [], store, 2, None, stem=True) as line:
    measured = gain.Measured.joined(line.each(line.measured))
    gain.settle(measured, -14.0, -2.0)
# Not getrusage: its peak begins with that of the process that started this one.
status = Path("/proc/self/status").read_text()
print(int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_programme(tmp_path):
    short, long = (
        int(
            subprocess.run(
                [sys.executable, "-c", MEMORY, str(_made(tmp_path / m)), m], check=True, stdout=subprocess.PIPE
            ).stdout
        )
        for m in ("1", "5")
    )
    assert long < 350
    assert long - short < 40  # MB: five minutes of sound are 115, of numbers 2


def _made(folder):
    folder.mkdir()
    return folder


def test_all_stems_together_are_the_master(store, clips):
    """Limited as the master is, so that nothing is missing and nothing is added where voices lie over each other."""
    lines = clips()
    mix = mix_of(lines, None, layouts.MONO, Background.DROP)
    found = make(mix, with_target(-9.0), store)
    assert (found.level.nodes < 1).any()
    halves = [
        mastering.stem(replace(mix, timeline=replace(mix.timeline, clips=tuple(part))), found.level, store, threads=2)
        for part in (lines[::2], lines[1::2])
    ]
    stems = [soundfile.read(store.path(half.sha256), dtype="float64")[0] for half in halves]
    master, _ = soundfile.read(store.path(found.flac.sha256), dtype="float64")
    assert all(np.abs(stem).max() > 0.01 for stem in stems)
    np.testing.assert_allclose(sum(stems), master, atol=4e-7)
