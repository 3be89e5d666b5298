"""What lossy coding does to loudness is known before the programme is encoded."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from speechmill.lines import RATE_HZ
from speechmill.profiles import profile
from speechmill.timeline import Timeline
from tasks.sound import coding, layouts, mastering
from tasks.sound.mixing import Background, Mix
from tasks.sound.mp3 import Mp3

SECONDS = 80
UNIT = mastering.UNIT_SAMPLES


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        (0, []),
        (UNIT // 2, [0]),  # all of a short programme, whatever is left at its end included
        (3 * UNIT + 1, [0, 1, 2, 3]),
        (8 * UNIT, list(range(8))),
        (17 * UNIT, [1, 3, 5, 7, 9, 11, 13, 15]),  # spread, neither the very beginning nor the end
    ],
)
def test_pieces_are_spread_over_the_programme(length, starts):
    found = coding.pieces(length, UNIT)
    assert [start // UNIT for start, _ in found] == starts
    assert all(0 < end - start <= UNIT and end <= length for start, end in found)


@pytest.mark.parametrize(
    ("coded", "shift"),
    [
        ([], 0.0),
        ([(-70.0, -70.0)], 0.0),  # silence tells nothing
        ([(-16.0, -16.5), (-70.0, -30.0)], -0.5),
        ([(-16.0, -16.05)], 0.0),  # less than a step of the gain
        ([(-16.0, -17.0), (-40.0, -45.0)], -1.01),  # loud pieces decide, as they do in the programme
    ],
)
def test_the_shift_is_that_of_the_energies(coded, shift):
    assert coding.shift_lu(coded) == pytest.approx(shift, abs=0.01)


@pytest.fixture
def hissing(keep):
    """A mix with half of its energy above all that MP3 keeps."""
    noise = np.random.default_rng(5).standard_normal((SECONDS * RATE_HZ, 1)).astype(np.float32)
    heights = sosfilt(butter(8, 17_500, "high", fs=RATE_HZ, output="sos"), noise, axis=0)
    sound = (0.02 * noise + 0.03 * heights).astype(np.float32)
    return Mix(Timeline.of(len(sound), []), layouts.MONO, Background.BED, keep(sound))


def test_a_master_meets_its_target_after_coding_at_the_first_try(hissing, store, judge):
    chosen, coders = profile("podcast"), [Mp3(layouts.MONO)]
    found = mastering.master(hissing, chosen, store, coders=coders, threads=2, stem=False)
    assert found.coding_lu < -0.3
    assert judge(store.path(found.encoded["mp3"].sha256))[0] == pytest.approx(-19.0, abs=0.2)
    encoded = store.tally["encode mp3", "made"]
    assert encoded <= len(mastering.parts(hissing.length_samples)) + coding.PIECES

    unlearnt = mastering.master(hissing, chosen, store, coders=coders, threads=2, stem=False, coding_lu=0.0)
    assert judge(store.path(unlearnt.encoded["mp3"].sha256))[0] < -19.3

    before = store.tally
    again = mastering.master(hissing, chosen, store, coders=coders, threads=2, stem=False, coding_lu=found.coding_lu)
    assert again.flac.sha256 == found.flac.sha256
    assert not [made for made in store.tally - before if made[1] == "made"]
