"""Reading the official folders: configs, weights, text tokenizers, and what is said of broken ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_worker.mimo import CheckpointError, Codec, CodecConfig, ConfigError, LmConfig, Model, SpeechLm, TextTokenizer
from model_worker.mimo.files import digest


@pytest.fixture
def lm_folder(folder: Path, tmp_path: Path) -> Path:
    """A language model folder that may be spoilt."""
    return Path(shutil.copytree(folder / "lm", tmp_path / "lm"))


@pytest.fixture
def codec_folder(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "tokenizer", tmp_path / "tokenizer"))


def edit(path: Path, **fields: Any) -> None:
    """Set fields of a JSON file; None removes one."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(fields)
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


def test_importing_costs_no_torch() -> None:
    code = (
        "import sys, model_worker.mimo as mimo; assert 'torch' not in sys.modules and 'numpy' not in sys.modules;"
        "assert set(mimo.__all__) == {name for home in mimo._HOMES.values() for name in home};"
        "assert 'Engine' in dir(mimo)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_all_public_names_are_there() -> None:
    import model_worker.mimo as mimo

    assert all(getattr(mimo, name) for name in mimo.__all__)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = mimo.Nothing


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("hidden_size", None, "is missing"),
        ("hidden_size", "64", "whole number"),
        ("num_hidden_layers", 0, "at least 1"),
        ("num_key_value_heads", 3, "does not divide"),
        ("delay_pattern", "0-1-2", "8 numbers"),
        ("delay_pattern", "a-b", "joined by dashes"),
        ("speech_zeroemb_idx", "4096", "outside its"),
        ("hidden_act", "relu", "'relu'"),
        ("rope_theta", "big", "must be a number"),
        ("input_full_attention", "yes", "true or false"),
        ("local_dim", 30, "30"),
        ("num_hidden_layers", 10**9, "at most"),
        ("max_position_embeddings", 10**9, "at most"),
        ("group_size", 10**9, "at most"),
        ("delay_pattern", str(10**9), "at most"),
        ("rope_theta", 0, "above 0"),
        ("rope_theta", -1, "above 0"),
        ("rope_theta", float("inf"), "must be a number"),
        ("rms_norm_eps", float("nan"), "must be a number"),
        ("rms_norm_eps", -1e-6, "above 0"),
        ("head_dim", 7, "pairs"),
        ("speech_vocab_size", "1", "nothing to say"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(lm_folder: Path, field: str, value: object, problem: str) -> None:
    edit(lm_folder / "config.json", **{field: value})
    with pytest.raises(ConfigError, match=problem) as refused:
        LmConfig.read(lm_folder)
    assert refused.value.field == field
    assert str(lm_folder / "config.json") in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("d_model", None), ("codebook_size", [0]), ("vocoder_attn_window_size", [1]), ("ln_type", "RMSNorm"),
     ("encoder_skip_layer_id", 99), ("encoder_attention_heads", 5), ("window_size", 2000), ("window_size", 480),
     ("fmax", -5), ("fmax", 12_001), ("fmin", -5), ("rope_theta", 0), ("max_audio_seconds", 0),
     ("hop_length", 500), ("nfft", 961), ("decoder_kernel_size", 1), ("vocoder_attn_window_size", [40, -2])],
)  # fmt: skip
def test_a_tokenizer_field_that_cannot_be_used_is_named(codec_folder: Path, field: str, value: object) -> None:
    edit(codec_folder / "config.json", **{field: value})
    with pytest.raises(ConfigError) as refused:
        CodecConfig.read(codec_folder)
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["", "{", "[]", "\x80"])
def test_a_config_that_is_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"config\.json"):
        LmConfig.read(tmp_path)


def test_defaults_are_those_of_the_reference(lm_folder: Path) -> None:
    names = ["head_dim", "delay_pattern", "speech_vocab_size", "group_size", "audio_channels", "input_full_attention"]
    edit(lm_folder / "config.json", **dict.fromkeys(names))
    config = LmConfig.read(lm_folder)
    assert (config.head_dim, config.group_size, config.channels) == (128, 4, 8)
    assert config.delays == tuple(range(8))
    assert config.speech_vocab == (1025, 1025, 129, 129, 129, 129, 129, 129)
    assert not config.input_bidirectional  # the reference's own default, which its checkpoints override


def test_one_number_stands_for_all_channels_and_the_last_codebook_size_repeats(
    lm_folder: Path, codec_folder: Path
) -> None:
    edit(lm_folder / "config.json", speech_vocab_size=65, speech_zeroemb_idx="64")
    assert LmConfig.read(lm_folder).speech_vocab == (65,) * 8
    edit(codec_folder / "config.json", codebook_size=[1024, 1024, 128])
    assert CodecConfig.read(codec_folder).codebook_sizes == (1024, 1024, *[128] * 18)


def test_shards_load_as_one_file_does(lm_folder: Path) -> None:
    whole = SpeechLm.load(lm_folder)
    tensors = load_file(lm_folder / "model.safetensors")
    (lm_folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, lm_folder / file)
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (lm_folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    sharded = SpeechLm.load(lm_folder)
    assert all(map(torch.equal, whole.parameters(), sharded.parameters()))
    (lm_folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00002"):
        SpeechLm.load(lm_folder)


def test_an_index_may_not_lead_out_of_its_folder(lm_folder: Path) -> None:
    index = lm_folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="outside its folder"):
        SpeechLm.load(lm_folder)
    index.write_text("[]", encoding="utf-8")
    with pytest.raises(CheckpointError, match="not an index"):
        SpeechLm.load(lm_folder)


def test_missing_tensors_are_named_and_extra_ones_ignored(codec_folder: Path) -> None:
    path = codec_folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "something.else": torch.zeros(3)}, path)
    Codec.load(codec_folder)
    del tensors["encoder.conv2.bias"], tensors["decoder.layer_norm.weight"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"encoder\.conv2\.bias"):
        Codec.load(codec_folder)


def test_a_truncated_file_is_named(lm_folder: Path) -> None:
    path = lm_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*whole"):
        SpeechLm.load(lm_folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        SpeechLm.load(lm_folder)


def test_a_config_that_contradicts_the_weights_names_the_tensor(lm_folder: Path) -> None:
    edit(lm_folder / "config.json", intermediate_size=161)
    with pytest.raises(CheckpointError, match=r"gate_proj\.weight' is \[160, 64\].*\[161, 64\]"):
        SpeechLm.load(lm_folder)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("lm", "num_hidden_layers", 2),
        ("lm", "local_layers", 1),
        ("lm", "input_local_layers", 1),
        ("lm", "audio_channels", 4),
        ("tokenizer", "encoder_layers", 4),
        ("tokenizer", "decoder_layers", 1),
        ("tokenizer", "vocoder_num_layers", 1),
        ("tokenizer", "num_quantizers", 8),
    ],
)
def test_a_config_that_asks_for_fewer_than_there_are_is_named(
    folder: Path, tmp_path: Path, part: str, field: str, value: int
) -> None:
    """Such a model would load, and say nonsense."""
    shutil.copytree(folder / part, tmp_path / part)
    edit(tmp_path / part / "config.json", **{field: value})
    with pytest.raises(ConfigError, match=rf"'{field}' is {value}, but the weights have '\w") as refused:
        (SpeechLm if part == "lm" else Codec).load(tmp_path / part)
    assert refused.value.field == field


@pytest.mark.parametrize(("part", "field"), [("lm", "vocab_size"), ("lm", "hidden_size"), ("tokenizer", "d_model")])
def test_a_config_that_contradicts_the_weights_takes_no_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, field: str
) -> None:
    """Whole gigabytes would be asked for, and no error would name the field."""
    shutil.copytree(folder / part, tmp_path / part)
    edit(tmp_path / part / "config.json", **{field: 3 << 18})
    for module in ("lm", "codec"):
        monkeypatch.setattr(f"model_worker.mimo.{module}.settle", lambda *_: pytest.fail("memory was taken"))
    with pytest.raises(CheckpointError, match=r"tensor '.*786432"):
        (SpeechLm if part == "lm" else Codec).load(tmp_path / part)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", "[]"),
        ("tokenizer_config.json", '{"eos_token": "<|no such token|>"}'),
        ("tokenizer_config.json", '{"eos_token": {"content": "<|nor this|>"}}'),
    ],
)
def test_a_text_tokenizer_that_cannot_be_read_is_named(lm_folder: Path, file: str, content: str) -> None:
    (lm_folder / file).write_text(content, "utf-8")
    with pytest.raises(CheckpointError, match="tokenizer"):
        TextTokenizer(lm_folder)


@pytest.mark.parametrize("added", [{"x": {}}, {"1": {"special": True}}, [], None])
def test_added_tokens_that_make_no_sense_are_named(lm_folder: Path, added: object) -> None:
    (lm_folder / "tokenizer.json").unlink()
    edit(lm_folder / "tokenizer_config.json", added_tokens_decoder=added)
    with pytest.raises(CheckpointError, match="no readable text tokenizer"):
        TextTokenizer(lm_folder)


@pytest.mark.parametrize("spoil", ["empty", "zeros", "folder", "other key", "bad header"])
def test_shards_that_are_spoilt_or_mixed_up_are_named(lm_folder: Path, spoil: str) -> None:
    path = lm_folder / "model.safetensors"
    if spoil == "folder":
        path.unlink()
        path.mkdir()
    elif spoil == "other key":
        index = {"weight_map": {"model.norm.weight": "model.safetensors"}}
        (lm_folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
        save_file({"another.model": torch.zeros(3)}, path)
    else:
        path.write_bytes({"empty": b"", "zeros": bytes(4096), "bad header": b"\x10" + bytes(7) + b"{" * 16}[spoil])
    with pytest.raises(CheckpointError, match=r"model\.safetensors|tensors are missing"):
        SpeechLm.load(lm_folder)


def test_folders_that_do_not_belong_together_are_told_apart(folder: Path, codec_folder: Path) -> None:
    with pytest.raises(ConfigError, match="num_attention_heads"):
        LmConfig.read(folder / "tokenizer")
    tensors = load_file(codec_folder / "model.safetensors")
    kept = {k: v for k, v in tensors.items() if "vq.layers." not in k or int(k.split("layers.")[1].split(".")[0]) < 4}
    save_file(kept, codec_folder / "model.safetensors")
    edit(codec_folder / "config.json", num_quantizers=4)
    with pytest.raises(ConfigError, match="8 channels"):
        Model.load(folder / "lm", codec_folder)


def test_a_text_tokenizer_with_more_ids_than_the_model_is_named(folder: Path, lm_folder: Path) -> None:
    """Any of them could stand in a text, not only the last ones."""
    path = lm_folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"].append({**content["added_tokens"][-1], "id": 1040, "content": "<|one too many|>"})
    path.write_text(json.dumps(content), encoding="utf-8")
    for number in range(1030, 1040):  # the library numbers added tokens without gaps
        content["added_tokens"].insert(-1, {**content["added_tokens"][-1], "id": number, "content": f"<|{number}|>"})
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError, match="is 1040, but the text tokenizer has the id 1040") as refused:
        Model.load(lm_folder, folder / "tokenizer")
    assert refused.value.field == "vocab_size"


def test_whoever_has_no_weights_is_told_what_to_download(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder") as refused:
        Model.load(tmp_path / "none", folder / "tokenizer")
    assert "hf download XiaomiMiMo/MiMo-Audio-7B-Instruct" in refused.value.hint


def test_the_digest_names_the_weights(lm_folder: Path, folder: Path) -> None:
    assert digest(lm_folder) == digest(folder / "lm")
    tensors = load_file(lm_folder / "model.safetensors")
    tensors["lm_head.weight"][0, 0] += 1
    save_file(tensors, lm_folder / "model.safetensors")
    changed = digest(lm_folder)
    assert changed != digest(folder / "lm")
    edit(lm_folder / "config.json", rope_theta=10_000)
    assert digest(lm_folder) != changed


def test_weights_load_in_the_wanted_dtype(folder: Path) -> None:
    lm = SpeechLm.load(folder / "lm", dtype=torch.bfloat16)
    codec = Codec.load(folder / "tokenizer", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in lm.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in codec.decoder.vocoder.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in codec.quantizer.parameters()} == {torch.float32}
    assert codec.encoder.conv1.weight.dtype == torch.bfloat16


def test_tied_embeddings_and_a_wider_patch_encoder_need_other_tensors(folder: Path) -> None:
    from dataclasses import replace

    from model_worker.mimo.checkpoint import parts_of

    config = LmConfig.read(folder / "lm")
    tied = SpeechLm.empty(replace(config, tied_embeddings=True), "cpu", torch.float32)
    assert "lm_head.weight" not in {key for key, _ in parts_of(tied)}
    wider = SpeechLm.empty(replace(config, input_dim=48), "cpu", torch.float32)
    assert dict(parts_of(wider))["speech_embeddings_to_local.weight"].shape == (32, 48)
    for parameter in wider.parameters():
        parameter.data.normal_(0, 0.1)
    codes = wider.local(torch.randn(2, 32), wider.speech_table, lambda _, logits: logits.argmax(-1))
    assert codes.shape == (2, 4, 8)


def test_text_is_tokenized_alike_without_tokenizer_json(lm_folder: Path, folder: Path) -> None:
    (lm_folder / "tokenizer.json").unlink()
    built, read = TextTokenizer(lm_folder), TextTokenizer(folder / "lm")
    for text in ("Hello, world!", "今天 12 it's <|im_start|>user\n x  \n\n", "é", ""):
        assert built.encode(text) == read.encode(text)
        assert built.decode(built.encode(text)) == read.decode(read.encode(text))
    assert built.eos == read.eos
    (lm_folder / "vocab.json").unlink()
    with pytest.raises(CheckpointError, match="text tokenizer"):
        TextTokenizer(lm_folder)


def test_special_tokens_that_a_vocabulary_lacks_are_appended_in_order(lm_folder: Path) -> None:
    path = lm_folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < 1022]
    path.write_text(json.dumps(content), encoding="utf-8")
    text = TextTokenizer(lm_folder)
    assert [text.id(name) for name in ("<|sosp|>", "<|eosp|>", "<|empty|>", "<|eot|>")] == [1022, 1023, 1024, 1029]
