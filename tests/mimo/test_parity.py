"""The golden cases, and the command that runs them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_worker.mimo.parity import Goldens, main

CASES = json.loads((Path(__file__).parents[1] / "data" / "mimo" / "cases.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_reference_computes_the_same(goldens: Goldens, case: dict) -> None:
    row = goldens.row(case)
    assert row.passed, (row.worst, row.problem)


def test_every_kind_of_case_is_in_the_subset() -> None:
    assert {case["kind"] for case in CASES} >= {
        "wav_to_mel", "mel_to_codes", "wav_to_lm_codes", "codes_to_wav", "codes_to_wav_batched", "codes_to_wav_chunked",
        "codes_to_wav_streaming", "prompt", "lm_prefill", "local_decode", "sampler", "generate_greedy", "postprocess",
        "end_to_end",
    }  # fmt: skip


@pytest.fixture
def small(folder: Path, tmp_path: Path) -> Path:
    """A folder with two cases, free to be spoilt."""
    for part in ("lm", "tokenizer", "wavs"):
        (tmp_path / part).symlink_to(folder / part)
    (tmp_path / "cases").mkdir()
    index = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    index["cases"] = [case for case in index["cases"] if case["name"] in ("decode_T1", "prompt_tts_zh")]
    for case in index["cases"]:
        shutil.copy(folder / case["file"], tmp_path / case["file"])
    (tmp_path / "cases.json").write_text(json.dumps(index), encoding="utf-8")
    return tmp_path


def test_the_command_prints_a_table_and_succeeds(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["case", "kind", "difference", "tolerance", "verdict"]
    assert lines[1].split()[:2] == ["decode_T1", "codes_to_wav"]
    assert lines[-1] == "2 of 2 passed"


def test_a_difference_fails_the_command(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small / "cases" / "decode_T1.safetensors"
    tensors = load_file(path)
    tensors["wav"][..., 100] += 0.01
    save_file(tensors, path)
    assert main([str(small)]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["gone", "truncated", "other tensors", "other shapes", "no file named"])
def test_a_damaged_case_fails_by_name_and_the_others_are_run(
    small: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = small / "cases" / "decode_T1.safetensors"
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "no file named":
        index = json.loads((small / "cases.json").read_text(encoding="utf-8"))
        index["cases"] = [
            {k: v for k, v in case.items() if k != "file" or case["name"] != "decode_T1"} for case in index["cases"]
        ]
        (small / "cases.json").write_text(json.dumps(index), encoding="utf-8")
    else:
        tensors = {"something": torch.zeros(3)} if damage == "other tensors" else {"codes": torch.zeros(2)}
        save_file(tensors, path)
    assert main([str(small)]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"decode_T1 .*FAILED \w+", out)
    assert "1 of 2 passed" in out
    assert "Traceback" not in out + err


def test_a_kind_nobody_knows_fails_the_command(small: Path) -> None:
    index = json.loads((small / "cases.json").read_text(encoding="utf-8"))
    index["cases"][0]["kind"] = "smell"
    (small / "cases.json").write_text(json.dumps(index), encoding="utf-8")
    assert main([str(small)]) == 1


def test_a_folder_without_cases_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "cases.json" in capsys.readouterr().err
