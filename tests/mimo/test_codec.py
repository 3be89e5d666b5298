"""The audio tokenizer: batches, long recordings, seams, bad input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_worker.mimo import AudioError, Codec, Model, Seams, Sound, StreamingDecoder
from model_worker.mimo import codec as codec_module
from model_worker.mimo.codec import Piece
from model_worker.mimo.mel import resample
from model_worker.mimo.recording import Recording


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(int(seconds * 24_000), generator=torch.Generator().manual_seed(seed))


def codes(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 128, (8, frames), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def codec(model: Model) -> Codec:
    return model.codec


def test_a_recording_is_encoded_the_same_alone_and_among_others(codec: Codec) -> None:
    waves = [noise(length, seed) for seed, length in enumerate((0.05, 1.03, 0.61, 0.37, 2.0, 0.0205))]
    together = codec.encode(waves, 8)
    for wave, among in zip(waves, together, strict=True):
        alone = codec.encode([wave], 8)[0]
        assert alone.shape == among.shape
        assert (alone != among).float().mean() < 0.01  # a near tie may fall the other way


def test_hidden_states_do_not_depend_on_batch_mates(codec: Codec) -> None:
    mels = [codec.mel(noise(length, seed)) for seed, length in enumerate((0.9, 0.31, 0.62, 0.05))]
    with torch.inference_mode():
        together = codec.states([Piece(mel, len(mel)) for mel in mels])
        for mel, among in zip(mels, together, strict=True):
            assert torch.allclose(codec.states([Piece(mel, len(mel))])[0], among, atol=1e-4)


@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_a_wave_is_decoded_the_same_alone_and_among_others(codec: Codec, lengths: list[int]) -> None:
    items = [codes(length, seed) for seed, length in enumerate(lengths)]
    for item, among in zip(items, codec.decode(items), strict=True):
        assert len(among) == 960 * item.shape[1]
        assert torch.allclose(codec.decode([item])[0], among, atol=1e-5)


def test_the_last_segment_of_a_long_recording_is_treated_as_the_reference_does(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_module, "SEGMENT_MEL", 100)
    wave = noise(3, 5)[:55_300]
    mel = codec.mel(wave)
    parts = torch.split(mel, 100)
    assert [len(part) for part in parts] == [100, 100, 31]
    with torch.inference_mode():
        expected = [codec.quantizer.encode(codec.states([Piece(part, 100)])[0], 8) for part in parts]
    differ = codec.encode([wave], 8)[0] != torch.cat(expected, 1)
    assert differ.float().mean() < 0.01  # a near tie may fall the other way


def test_a_remainder_that_ends_up_alone_in_a_call_is_encoded_as_if_alone(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_module, "SEGMENT_MEL", 100)
    monkeypatch.setattr(codec_module, "CALL_MEL", 200)
    pieces = codec._reference_pieces(torch.zeros(231, 128))
    assert [(len(piece.mel), piece.padded_to) for piece in pieces] == [(100, 100), (100, 100), (31, 31)]


@pytest.mark.parametrize("frames", [1, 1499, 1500, 1501, 1760, 2749, 2751])
def test_smooth_windows_neither_lose_nor_add_a_sample(
    codec: Codec, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "decode_once", lambda items, **_: (None, _Ramp(items)))
    item = torch.arange(frames).expand(8, -1)
    wave = codec.decode([item], Seams.SMOOTH)[0]
    assert torch.allclose(wave, torch.arange(frames).repeat_interleave(960).float(), rtol=1e-5, atol=1e-3)


class _Ramp:
    """Decodes every frame into its own number, so that a join out of place is seen."""

    def __init__(self, items: list[torch.Tensor]) -> None:
        self.waves = [item[0].repeat_interleave(960).float() for item in items]


def test_smooth_seams_keep_the_number_of_frames(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module, "SEGMENT_MEL", 400)
    monkeypatch.setattr(codec_module, "OVERLAP_FRAMES", 20)
    for seconds in (3.9, 4.1, 9.27):
        wave = noise(seconds)
        assert codec.encode([wave], 8, Seams.SMOOTH)[0].shape == codec.encode([wave], 8)[0].shape


def test_a_hard_seam_is_where_the_reference_has_it_and_a_smooth_one_is_not(codec: Codec) -> None:
    item = codes(1700)
    hard, smooth = (codec.decode([item], seams)[0] for seams in Seams)
    assert torch.allclose(hard[: 1500 * 960], codec.decode([item[:, :1500]])[0], atol=1e-5)
    assert len(hard) == len(smooth) == 1700 * 960
    assert not torch.allclose(hard[1501 * 960 :], smooth[1501 * 960 :], atol=1e-3)


def test_streaming_emits_every_sample_once(codec: Codec) -> None:
    decoder = StreamingDecoder(codec)
    item = codes(130)
    edges = [0, 10, 50, 55, 100, 130]
    heard = [decoder.feed(item[:, a:b], last=b == 130) for a, b in pairwise(edges)]
    assert sum(map(len, heard)) == 130 * 960
    assert [len(part) for part in heard[:3]] == [0, 10 * 960, 5 * 960]


@pytest.mark.parametrize("samples", [1, 480])
def test_a_recording_too_short_to_transform_is_refused(codec: Codec, samples: int) -> None:
    with pytest.raises(AudioError, match="samples"):
        codec.encode([torch.zeros(samples)], 8)
    assert codec.encode([torch.zeros(481)], 8)[0].shape == (8, 1)


def test_an_hour_in_one_call_is_refused_before_any_work(codec: Codec) -> None:
    with pytest.raises(AudioError, match="3600 s"):
        codec.encode([torch.zeros(1).expand(3600 * 24_000)], 8)


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros(0, np.float32), "must be"),
        (np.full(9000, np.nan, np.float32), "not numbers"),
        (np.array([0.0, np.inf] * 9000, np.float32), "not numbers"),
        (np.zeros((1, 2, 3), np.float32), "must be"),
        (np.zeros(480, np.float32), "no speech"),
        (np.array(["a", "b"]), "not numbers"),
    ],
)
def test_a_recording_that_holds_no_sound_is_refused(codec: Codec, samples: np.ndarray, problem: str) -> None:
    with pytest.raises(AudioError, match=problem):
        Recording.of(Sound(samples, 24_000), codec)


@pytest.mark.parametrize("rate_hz", [0, -24_000, 24_000.5, "24000", None])
def test_a_sample_rate_that_means_nothing_is_refused(codec: Codec, rate_hz: object) -> None:
    """Of a long recording, too: how long it is cannot be said."""
    for samples in (1000, 60_000):
        with pytest.raises(AudioError, match="means nothing"):
            Recording.of(Sound(np.zeros(samples, np.float32), rate_hz), codec)  # type: ignore[arg-type]


@pytest.mark.parametrize("seams", Seams)
@settings(max_examples=15, deadline=None)
@given(samples=st.integers(481, 12 * 24_000))
def test_how_many_frames_a_recording_has_is_known_before_it_is_encoded(
    codec: Codec, samples: int, seams: Seams
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec_module, "SEGMENT_MEL", 400)
        patch.setattr(codec_module, "OVERLAP_FRAMES", 20)
        assert codec.encode([torch.zeros(samples)], 1, seams)[0].shape[1] == codec.frames(samples, seams)


def test_codes_outside_their_codebooks_are_refused(codec: Codec) -> None:
    with pytest.raises(AudioError, match="codebooks"):
        codec.decode([torch.full((8, 3), 1024)])
    with pytest.raises(AudioError, match="no code frames"):
        codec.decode([torch.zeros(8, 0, dtype=torch.long)])


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_a_tone_where_it_was(rate: int) -> None:
    seconds = torch.arange(rate, dtype=torch.float64) / rate
    tone = torch.sin(2 * torch.pi * 440 * seconds).float()
    wanted = torch.sin(2 * torch.pi * 440 * torch.arange(24_000, dtype=torch.float64) / 24_000).float()
    got = resample(tone, rate, 24_000)
    assert len(got) == 24_000
    assert (got - wanted)[500:-500].abs().max() < 2e-3


def test_rates_without_a_common_divisor_are_refused_with_advice() -> None:
    with pytest.raises(AudioError, match="ratio") as refused:
        resample(torch.zeros(1000), 24_001, 24_000)
    assert "resample" in refused.value.hint
