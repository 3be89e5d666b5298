"""Does this implementation compute what the reference computes? ``python -m model_worker.mimo.parity FOLDER``.

FOLDER holds golden data: tiny checkpoints in the official layout, and cases with exact inputs and outputs. Every
case is run; the table shows the largest difference found and the one allowed. Exit 1 when a case fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .codec import SEGMENT_MEL, Codec, Piece, StreamingDecoder
from .device import settled
from .errors import MimoError
from .golden_prompts import task_of
from .groups import Groups
from .lm import SpeechLm
from .local import Run
from .mel import resample
from .plain import GrowingMemory, generate
from .prompts import PromptBuilder
from .sampler import Sampling, SamplingRows, filtered
from .takes import answer, pcm16
from .text import TextTokenizer
from .wav import read_wav

MEL, HIDDEN, WAVE, LOGITS, RESAMPLED = 1e-4, 1e-4, 1e-4, 1e-3, 1e-5
TIE = 1e-3  # a code or choice whose recorded margin is smaller may differ

Case = dict[str, Any]
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: the largest difference, and the largest allowed."""

    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance

    @property
    def used(self) -> float:
        """How much of the tolerance is used up."""
        return self.difference / self.tolerance if self.tolerance else self.difference


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    kind: str
    checks: list[Check]
    problem: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.checks) and not self.problem and all(check.passed for check in self.checks)

    @property
    def worst(self) -> Check:
        """The check that came closest to failing, or failed most."""
        return max(self.checks, key=lambda check: (not check.passed, check.used), default=Check(float("nan"), 0))


class Goldens:
    """A folder of golden data and the models to hold against it."""

    def __init__(
        self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, *, laid_out: bool = False
    ) -> None:
        """``laid_out``: with the weights as an engine has them."""
        self.folder = folder
        self.index = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
        self.device, self.dtype = settled(device), dtype
        self.text = TextTokenizer(folder / "lm")
        self.codec = Codec.load(folder / "tokenizer", device, dtype)
        self.lm = SpeechLm.load(folder / "lm", device, dtype)
        self.prompts = PromptBuilder(self.lm.config, self.text)
        if laid_out:
            self.lm.lay_out()

    def rows(self) -> Iterator[Row]:
        """Run every case."""
        if (self.folder / "cases" / "text_tokens.json").is_file():
            yield _row("text_tokens", "text", self._text_tokens)
        for case in self.index["cases"]:
            yield self.row(case)

    def row(self, case: Case) -> Row:
        name, kind = case["name"], case["kind"]
        run = KINDS.get(kind)
        if run is None:
            return Row(name, kind, [], "this kind is not known")
        return _row(name, kind, lambda: run(self, case, load_file(self.folder / case["file"])))

    def wave(self, path: str) -> Tensor:
        """A wav file, mono at the tokenizer's rate."""
        sound = read_wav(self.folder / path)
        return resample(torch.from_numpy(sound.mono()), sound.rate_hz, self.codec.config.sampling_rate_hz)

    def codes(self, path: str) -> Tensor:
        return self.codec.encode([self.wave(path)], self.lm.config.channels)[0].cpu()

    def groups(self, tensors: Tensors, name: str = "input_ids") -> Groups:
        return Groups.from_matrix(tensors[name], self.lm.config)

    def _text_tokens(self) -> Iterator[Check]:
        cases = json.loads((self.folder / "cases" / "text_tokens.json").read_text(encoding="utf-8"))
        for case in cases:
            yield same(self.text.encode(case["text"]) == case["ids"])

    # one method per kind of case

    def wav_to_mel(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        if "wav" in case:
            yield distance(self.wave(case["wav"]), tensors["wav24k"], RESAMPLED)
        mel = self.codec.mel(tensors["wav24k"].to(self.device)).t().cpu()
        logs = distance(mel, tensors["mel"], MEL)
        if logs.passed:
            yield logs
        else:  # another FFT: very quiet bands are ill-conditioned in logs, so compare beside the frame's peak
            wanted = tensors["mel"].exp()
            yield Check(float(((mel.exp() - wanted).abs() / wanted.amax(0)).max()), MEL)

    def mel_to_codes(self, _: Case, tensors: Tensors) -> Iterator[Check]:
        lengths = tensors["mel_lengths"].tolist()
        mels = torch.split(tensors["mel_packed"].to(self.device), lengths)
        hidden = torch.cat(self.codec.states([Piece(mel, max(lengths)) for mel in mels]))
        yield distance(hidden, tensors["hidden_before_quantizer"], HIDDEN)
        yield same([self.codec.encoder.frames(length) for length in lengths] == tensors["code_lengths"].tolist())
        yield ids_but_ties(self.codec.quantizer.encode(hidden, len(tensors["codes"])), tensors)

    def wav_to_codes(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        wave = self.wave(case["wav"])
        codes = self.codec.encode([wave], len(tensors["codes"]))[0]
        yield ids_but_ties(codes, tensors)
        segments = [min(SEGMENT_MEL, case["mel_frames"] - at) for at in range(0, case["mel_frames"], SEGMENT_MEL)]
        yield same([self.codec.encoder.frames(frames) for frames in segments] == tensors["code_lengths"].tolist())
        yield from self._flat(codes, tensors)

    def wav_to_lm_codes(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        yield from self._flat(self.codes(case["wav"]), tensors)

    def _flat(self, codes: Tensor, tensors: Tensors) -> Iterator[Check]:
        groups = Groups.of_audio(codes, self.lm.config, self.text.empty)
        channels = self.lm.config.channels
        frames, wanted = (flat.reshape(-1, channels).t() for flat in (groups.codes, tensors["lm_codes_flat"]))
        count = codes.shape[1]
        yield same(frames.shape == wanted.shape and bool((frames[:, count:] == frames[:, count - 1 : count]).all()))
        margins = tensors["margins"][:channels]
        yield ids_but_ties(frames[:, :count], {"codes": wanted[:, :count], "margins": margins})

    def codes_to_wav(self, _: Case, tensors: Tensors) -> Iterator[Check]:
        vectors, decoded = self.codec.decode_once([tensors["codes"]])
        yield distance(vectors[0], tensors["vq_sum"], HIDDEN)
        yield distance(decoded.coarse_mel, tensors["coarse_mel"], HIDDEN)
        yield distance(decoded.vocoder_hidden[0], tensors["vocoder_hidden"], HIDDEN)
        yield distance(decoded.waves[0], tensors["wav"].flatten(), WAVE)

    def codes_to_wav_batched(self, _: Case, tensors: Tensors) -> Iterator[Check]:
        items = list(torch.split(tensors["codes_packed"], tensors["lengths"].tolist(), 1))
        for index, wave in enumerate(self.codec.decode(items)):
            wanted = tensors[f"wav_single_{index}"].flatten()
            yield distance(wave, wanted, WAVE)
            yield distance(self.codec.decode([items[index]])[0], wanted, WAVE)

    def codes_to_wav_chunked(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        parts = torch.split(tensors["codes"], case["chunk_frames"], 1)
        wave = torch.cat([self.codec.decode([part])[0] for part in parts]).cpu()
        size, middle = case["window_samples"], case["boundary_sample"]
        yield same(len(wave) == case["total_samples"])
        yield distance(wave[:size], tensors["wav_head"], WAVE)
        yield distance(wave[middle - size : middle + size], tensors["wav_boundary"], WAVE)
        yield distance(wave[-size:], tensors["wav_tail"], WAVE)
        yield from blocks(
            wave, self.codec.config.sampling_rate_hz, tensors["rms_per_second"], tensors["mean_per_second"]
        )

    def codes_to_wav_streaming(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        decoder = StreamingDecoder(self.codec, case["left_overlap"], case["right_overlap"])
        parts = list(torch.split(tensors["codes"], tensors["chunk_lengths"].tolist(), 1))
        heard = [decoder.feed(part, last=number == len(parts)).cpu() for number, part in enumerate(parts, 1)]
        yield same([len(part) for part in heard] == tensors["samples_per_call"].tolist())
        streamed, whole = torch.cat(heard), self.codec.decode_once([tensors["codes"]])[1].waves[0].cpu()
        yield same(len(streamed) == case["total_samples"])
        size = case["window_samples"]
        for name, wave in (("wav_streaming_windows", streamed), ("wav_one_shot_windows", whole)):
            windows = torch.stack([wave[at : at + size] for at in tensors["window_starts"].tolist()])
            yield distance(windows, tensors[name], WAVE)
        stats = tensors["wav_streaming_block_rms"], tensors["wav_streaming_block_mean"]
        yield from blocks(streamed, case["block_samples"], *stats)

    def prompt(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        task, given = task_of(case, self.codes)
        built = self.prompts.build(task, given).groups.matrix()
        yield same(torch.equal(built, tensors["input_ids"]))

    def lm_prefill(self, _: Case, tensors: Tensors) -> Iterator[Check]:
        groups, lm = self.groups(tensors), self.lm
        embedded = lm.embed(groups.text, groups.codes, self.text.empty)[None]
        yield distance(embedded, tensors["inputs_embeds"], HIDDEN)
        hidden = lm.backbone.normed(lm.backbone(embedded, slice(0, len(groups)), GrowingMemory()))
        yield distance(hidden, tensors["hidden_states"], HIDDEN)
        yield distance(lm.text_logits(hidden[:, -1]), tensors["text_logits"][0], LOGITS)
        yield distance(lm.local_state(hidden[:, -1]), tensors["local_hidden_states"][0], HIDDEN)

    def local_decode(self, _: Case, tensors: Tensors) -> Iterator[Check]:
        seen: dict[int, list[Tensor]] = {}

        def pick(run: Run, logits: Tensor) -> Tensor:
            for row, channel in enumerate(run.channels):
                seen.setdefault(channel, []).append(logits[:, row])
            return logits.masked_fill(run.forbidden, float("-inf")).argmax(-1)

        states = tensors["local_hidden_states"][:, 0].to(self.device)
        codes = self.lm.local(states.to(self.dtype), self.lm.speech_table, pick)
        yield same(torch.equal(codes.cpu(), tensors["codes"]))
        for name, wanted in tensors.items():
            if name.startswith("logits_channel"):
                yield distance(torch.stack(seen[int(name.removeprefix("logits_channel"))], 1), wanted, LOGITS)

    def sampler(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        scores = tensors["scores"].to(self.device)
        for index, settings in enumerate(case["settings"]):
            how = SamplingRows.of([Sampling(**settings)] * len(scores), scores.device)
            got, wanted = filtered(scores, how).cpu(), tensors[f"out{index}"]
            yield same(torch.equal(got.isinf(), wanted.isinf()))
            yield distance(got.nan_to_num(neginf=0), wanted.nan_to_num(neginf=0), 1e-5)

    def generate_greedy(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        made = self._generated(case, tensors).matrix(repeat_text=True)
        equal = torch.equal(made, tensors["generated_ids"])
        tied = min(case.get("text_min_gap", 1.0), case.get("audio_min_gap", 1.0)) < LOGITS / 10
        yield same(equal or tied)

    def _generated(self, case: Case, tensors: Tensors) -> Groups:
        limits = {"max_new": case["max_new_groups"], "min_new": case.get("min_new_groups", 0)}
        stops = tuple(case["stop_tokens"])
        return generate(self.lm, self.groups(tensors), self.text.empty, stops, **limits)

    def postprocess(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        said = answer(self.groups(tensors, "generated_ids"), self.text, self.lm.config)
        yield same(said.text == case["text"] and case["sample_rate"] == self.codec.config.sampling_rate_hz)
        yield same(torch.equal(said.codes, tensors["codes"]))
        # without audio the reference writes a second of silence; here such a take is a failure, so silence stands in
        wave = self.codec.decode([said.codes])[0] if said.codes.shape[1] else torch.zeros(case["sample_rate"])
        written = torch.from_numpy(pcm16(wave.cpu().numpy()))
        yield distance(written.float(), tensors["wav_int16"].flatten().float(), 1)

    def end_to_end(self, case: Case, tensors: Tensors) -> Iterator[Check]:
        made = self._generated(case, tensors)
        yield same(torch.equal(made.matrix(repeat_text=True), tensors["generated_ids"]))
        said = answer(made, self.text, self.lm.config)
        yield same(said.text == case["text"])
        yield distance(self.codec.decode([said.codes])[0], tensors["wav"].flatten(), WAVE)


KINDS: dict[str, Callable[[Goldens, Case, Tensors], Iterator[Check]]] = {
    run.__name__: run
    for run in (
        Goldens.wav_to_mel, Goldens.mel_to_codes, Goldens.wav_to_codes, Goldens.wav_to_lm_codes, Goldens.codes_to_wav,
        Goldens.codes_to_wav_batched, Goldens.codes_to_wav_chunked, Goldens.codes_to_wav_streaming, Goldens.prompt,
        Goldens.lm_prefill, Goldens.local_decode, Goldens.sampler, Goldens.generate_greedy, Goldens.postprocess,
        Goldens.end_to_end,
    )
}  # fmt: skip


def _row(name: str, kind: str, run: Callable[[], Iterator[Check]]) -> Row:
    """What ``run`` finds; a case that cannot be read or computed fails by the error's name."""
    try:
        with torch.inference_mode():
            return Row(name, kind, list(run()))
    except (MimoError, SafetensorError, OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return Row(name, kind, [], " ".join(f"{type(error).__name__}: {error}".split()))


def distance(got: Tensor, wanted: Tensor, tolerance: float) -> Check:
    """The largest absolute difference; infinite when the shapes differ."""
    got = got.float().cpu()
    if got.shape != wanted.shape:
        return Check(float("inf"), tolerance)
    difference = (got - wanted).abs().max() if got.numel() else torch.zeros(())
    return Check(float(difference.nan_to_num(float("inf"))), tolerance)


def same(equal: bool) -> Check:
    """For what has to be equal: 0 or 1, and nothing is allowed."""
    return Check(0.0 if equal else 1.0, 0.0)


def ids_but_ties(codes: Tensor, tensors: Tensors) -> Check:
    """How many codes differ, not counting a near tie and what follows from it in later codebooks of the same frame."""
    wanted, codes = tensors["codes"], codes.cpu()
    if codes.shape != wanted.shape:
        return Check(float("inf"), 0.0)
    tied = (tensors["margins"][: len(wanted)] < TIE) & (codes != wanted)
    return Check(float(((codes != wanted) & (tied.cumsum(0) == 0)).sum()), 0.0)


def blocks(wave: Tensor, size: int, rms: Tensor, mean: Tensor) -> Iterator[Check]:
    """Level and mean of consecutive blocks."""
    cut = wave[: len(rms) * size].view(-1, size)
    yield distance(cut.square().mean(1).sqrt(), rms, WAVE)
    yield distance(cut.mean(1), mean, WAVE)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 0 when every case passed."""
    parser = argparse.ArgumentParser(prog="python -m model_worker.mimo.parity", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--laid-out", action="store_true", help="with the weights as an engine lays them out")
    options = parser.parse_args(arguments)
    try:
        goldens = Goldens(options.folder, options.device, laid_out=options.laid_out)
        rows = []
        _say(f"{'case':48} {'kind':23} {'difference':>10} {'tolerance':>10}  verdict")
        for row in goldens.rows():
            rows.append(row)
            verdict = "passed" if row.passed else f"FAILED {row.problem}".rstrip()
            _say(f"{row.name:48} {row.kind:23} {row.worst.difference:10.2g} {row.worst.tolerance:10.2g}  {verdict}")
    except (MimoError, OSError, LookupError, TypeError, ValueError) as error:
        sys.stderr.write(f"parity: {error}\n")
        return 1
    failed = sum(not row.passed for row in rows)
    _say(f"{len(rows) - failed} of {len(rows)} passed")
    return 1 if failed or not rows else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
