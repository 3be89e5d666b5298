"""The weights of MiMo-Audio: what is said where they are missing, damaged or others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'mimo' is not installed")


from model_worker.engines import registry
from model_worker.engines.mimo import engine as make
from speechmill.abilities import Ability
from speechmill.errors import MissingWeights
from speechmill.settings import Settings

from .mimo import TINY, settings_of, tiny_settings


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, ["MODEL_DIR is not set", "TOKENIZER_DIR is not set", "7B-Instruct --local-dir", "16 GB", "5 GB"]),
        ({"mimo_model_dir": TINY / "lm"}, ["TOKENIZER_DIR is not set", "hf download XiaomiMiMo/MiMo-Audio-Tokenizer"]),
        ({"mimo_model_dir": TINY / "no", "mimo_tokenizer_dir": TINY / "tokenizer"}, ["no, which is no folder"]),
        ({"mimo_model_dir": TINY / "wavs", "mimo_tokenizer_dir": TINY / "tokenizer"}, ["model.safetensors: there is"]),
    ],
)
def test_whoever_has_no_weights_is_told_what_to_download(
    tmp_path: Path, fields: dict[str, Path], named: list[str]
) -> None:
    made = make(Settings(home=tmp_path, **fields))
    for able in (made.transcribes, made.speaks, made.writes, made.understands, made.converses):
        with pytest.raises(MissingWeights) as refused:
            _ = able.languages
        assert all(word in str(refused.value) for word in named)
    assert made.translates
    with pytest.raises(MissingWeights):
        _ = made.translates.pairs


def test_an_engine_without_weights_is_not_offered_to_others(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert not registry._can("mimo", Ability.SPEAK, ("zh",), settings)
    assert registry._can("mimo", Ability.SPEAK, ("zh",), tiny_settings(tmp_path))


def test_a_truncated_file_is_named_before_any_work(copied: Path) -> None:
    path = copied / "tokenizer" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    made = make(settings_of(copied))
    assert made.speaks
    with pytest.raises(MissingWeights, match=r"tokenizer/model\.safetensors.*not a whole"):
        _ = made.speaks.languages


def test_a_config_of_another_model_is_named_when_it_is_loaded(copied: Path, speech: Path) -> None:
    config = json.loads((copied / "lm" / "config.json").read_text())
    (copied / "lm" / "config.json").write_text(json.dumps({**config, "intermediate_size": 161}))
    made = make(settings_of(copied))
    assert made.transcribes
    with pytest.raises(MissingWeights, match="gate_proj"):
        made.transcribes.transcribe(speech, "en")
    (copied / "lm" / "config.json").write_text(json.dumps(config))
    assert made.transcribes.transcribe(speech, "en").text  # mended, it works without a new process


def test_the_version_names_weights_prompts_and_number_format(copied: Path) -> None:
    ours = make(settings_of(TINY))
    assert ours.speaks
    assert ours.transcribes
    assert ours.translates
    same, other = make(settings_of(copied)), make(settings_of(copied).model_copy(update={"mimo_dtype": "bfloat16"}))
    assert same.speaks
    assert other.speaks
    assert same.speaks.version == ours.speaks.version
    assert other.speaks.version != ours.speaks.version
    assert len({ours.speaks.version, ours.transcribes.version, ours.translates.version}) == 3
    loose = make(settings_of(copied).model_copy(update={"mimo_steady": False}))
    assert loose.speaks
    assert loose.speaks.version != ours.speaks.version
    config = json.loads((copied / "lm" / "config.json").read_text())
    (copied / "lm" / "config.json").write_text(json.dumps({**config, "rope_theta": 10_000}))
    changed = make(settings_of(copied))
    assert changed.speaks
    assert changed.speaks.version != ours.speaks.version
