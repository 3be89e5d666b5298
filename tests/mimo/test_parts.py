"""Smaller parts: graphs, prefix cache, wav files, takes, products, prompts."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from model_worker.mimo import AudioError, Failure, Model, Sampling, Sound, read_wav
from model_worker.mimo.graphs import MOST_RECORDINGS, Graphs
from model_worker.mimo.groups import Groups
from model_worker.mimo.pages import LargePages
from model_worker.mimo.prefix import PrefixCache
from model_worker.mimo.prompts import default_template, is_chinese, spoken_text
from model_worker.mimo.reader import Part, Reader
from model_worker.mimo.sampler import Uses
from model_worker.mimo.slots import Settings, Slots
from model_worker.mimo.step import Plan, Stepper
from model_worker.mimo.takes import answer, judge, peak_loudness_dbfs

from .queueing import Tape


def test_work_runs_as_it_is_then_is_recorded_and_replayed_once_per_call() -> None:
    graphs, done = Graphs("steps", lambda: Tape), []
    for _ in range(4):
        graphs.run("plan", lambda: done.append(1))
    assert len(done) == 4
    assert graphs.recordings["plan"].replays == 3
    graphs.run("other plan", lambda: done.append(2))
    assert done[-1] == 2
    assert "other plan" not in graphs.recordings
    for plan in [*range(MOST_RECORDINGS + 5), "plan"]:
        graphs.run(plan, lambda: None)
        graphs.run(plan, lambda: None)
    assert len(graphs.recordings) == MOST_RECORDINGS
    assert set(range(4)).isdisjoint(graphs.recordings)  # the ones used last stay
    graphs.forget()
    assert not graphs.recordings


def test_a_static_step_computes_what_a_branching_one_does(model: Model) -> None:
    """The static form is what graphs record; rows beyond the running ones must not disturb it."""
    config = model.lm.config
    how = Sampling(0.9, top_p=0.95)
    outcomes = []
    with torch.inference_mode():
        for static, width in ((False, 2), (True, 4)):
            slots = Slots(model.lm, 4, 64)
            stepper = Stepper(model.lm, slots, model.text.empty, static=static)
            reader = Reader(model.lm, slots, model.text.empty, None, steady=False)
            for row in range(2):
                prompt = Groups.of_text(model.text.encode("Hello there")[: 4 - row], config)
                slots.place(row, [(len(prompt), Settings(how, how, row, (), 0, 50))])
                reader.read([Part(row, 0, prompt)])
            plan = Plan(width, 64, Uses(True, False, True), Uses(True, False, True), mutes=False, holds=False)
            for _ in range(12):
                stepper.step(plan)
            outcomes.append(slots.groups_of(slots.histories([0, 1], [12, 12]), [12, 12]))
    for one, other in zip(*outcomes, strict=True):
        assert torch.equal(one.text, other.text)
        assert torch.equal(one.codes, other.codes)
        assert (one.text == model.text.empty).any()


def test_the_prefix_cache_forgets_the_least_recently_used() -> None:
    def prefix(number: int) -> Groups:
        return Groups(torch.tensor([number]), torch.zeros(1, 4, 8, dtype=torch.long))

    kept = torch.zeros(2, 10)
    cache = PrefixCache(limit_bytes=170)
    cache.keep(prefix(1), kept)
    cache.keep(prefix(2), kept)
    assert cache.find(prefix(1)) is kept
    cache.keep(prefix(3), kept)
    assert [cache.find(prefix(number)) is not None for number in (1, 2, 3)] == [True, False, True]
    cache.keep(prefix(4), torch.zeros(2, 100))
    assert cache.find(prefix(4)) is None
    assert (len(cache), cache.bytes) == (2, 160)
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_large_pages_hold_what_is_put_there_one_after_the_other() -> None:
    pages = LargePages()
    given = [torch.randn(3, 5), torch.randn(7, 2).t(), torch.randn(1), torch.randn(20, 1 << 20)]
    kept = [pages.copy(tensor) for tensor in given]
    assert all(torch.equal(one, other) for one, other in zip(kept, given, strict=True))
    assert all(tensor.is_contiguous() and tensor.data_ptr() % 64 == 0 for tensor in kept)


@pytest.mark.parametrize(("kind", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (0xFFFE, 16)])
def test_wav_files_of_all_widths_are_read(tmp_path: Path, kind: int, bits: int) -> None:
    wave = np.array([0.0, 0.5, -0.5, 0.25], np.float64)
    if kind == 3:
        body = wave.astype(f"<f{bits // 8}").tobytes()
    elif bits == 8:
        body = (wave * 128 + 128).astype(np.uint8).tobytes()
    else:
        whole = (wave * 2 ** (bits - 1)).astype("<i4")
        body = b"".join(int(sample).to_bytes(bits // 8, "little", signed=True) for sample in whole)
    fmt = struct.pack("<HHIIHH", kind, 2, 8000, 0, 0, bits)
    if kind == 0xFFFE:
        fmt += struct.pack("<HHIH", 22, bits, 3, 1) + bytes(14)
    chunks = b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    chunks += b"data" + struct.pack("<I", 0xFFFFFFFF) + body  # a length that a live recorder never corrected
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", 0) + b"WAVE" + chunks)
    sound = read_wav(tmp_path / "a.wav")
    assert sound.rate_hz == 8000
    assert np.allclose(sound.samples, [[0, -0.5], [0.5, 0.25]], atol=0.01)
    assert np.allclose(sound.mono(), [0.25, -0.125], atol=0.01)


@pytest.mark.parametrize("data", [b"", b"RIFF1234WAVE", b"RIFF1234WAVEdata\0\0\0\0", b"ID3 and so on, but no wav"])
def test_what_is_no_wav_file_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(AudioError, match=r"a\.wav"):
        read_wav(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("level", "speaks", "stopped", "failure"),
    [
        (0.1, True, True, None),
        (0.1, True, False, Failure.NEVER_STOPS),
        (0.001, True, True, Failure.NEAR_SILENCE),
        (0.0, True, False, Failure.NEAR_SILENCE),
        (None, True, True, Failure.NO_AUDIO),
        (None, False, True, None),
        (None, False, False, Failure.NEVER_STOPS),
    ],
)
def test_takes_are_judged(level: float | None, speaks: bool, stopped: bool, failure: Failure | None) -> None:
    wave = np.zeros(0, np.float32) if level is None else np.full(24_000, level, np.float32)
    assert judge(wave, 24_000, speaks=speaks, stopped=stopped) is failure


def test_one_short_word_in_silence_is_speech() -> None:
    wave = np.zeros(48_000, np.float32)
    wave[10_000:14_800] = 0.05
    assert peak_loudness_dbfs(wave, 24_000) > -30
    assert peak_loudness_dbfs(np.zeros(10, np.float32), 24_000) == float("-inf")


def test_a_last_group_counts_where_the_limit_ended_generation(model: Model) -> None:
    text = model.text
    ids = [text.id("<|sostm|>"), text.empty, text.empty]
    codes = torch.arange(3 * 32).view(3, 4, 8) % 100
    codes[0] = torch.tensor(model.lm.config.speech_empty)
    groups = Groups(torch.tensor(ids), codes)
    assert answer(groups, text, model.lm.config, stopped=False).codes.shape == (8, 8)
    assert answer(groups, text, model.lm.config).codes.shape == (8, 4)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [("HELLO WORLD", "Hello world"), ("hello", "Hello"), ("Hello NATO", "Hello NATO"), ("42!", "42!"), ("好", "好")],
)
def test_text_is_spoken_in_the_case_of_the_training_data(text: str, spoken: str) -> None:
    assert spoken_text(text) == spoken


def test_templates_follow_the_language_of_the_text() -> None:
    assert default_template("speak", chinese=is_chinese("说 hello")) == "请将这段文字转换为语音"
    assert default_template("speak", chinese=is_chinese("hello")) == "Please convert this text to speech"
    assert default_template("chat", chinese=True) == ""


def test_what_is_shared_by_all_lines_of_a_voice_is_marked(model: Model) -> None:
    voice = torch.zeros(8, 10, dtype=torch.long)
    prompts = [
        model.prompts.build("speak-styled", {"template": "Say", "text": text, "instruct": "calm", "voice": voice})
        for text in ("One.", "Another one.")
    ]
    assert prompts[0].shared == prompts[1].shared > 0
    assert prompts[0].groups[: prompts[0].shared].key() == prompts[1].groups[: prompts[1].shared].key()


def test_groups_survive_the_official_matrix(model: Model) -> None:
    groups = model.prompts.build("chat", {"text": "Hello"}).groups
    again = Groups.from_matrix(groups.matrix(), model.lm.config)
    assert torch.equal(again.text, groups.text)
    assert torch.equal(again.codes, groups.codes)
    assert groups.matrix()[0, 1:4].tolist() == [-100] * 3
    assert len(Sound(np.zeros((2, 5), np.float32), 8000).mono()) == 5
