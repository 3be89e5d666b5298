"""The two ``config.json`` files as frozen values: every number the model needs is read from them, none is assumed.

Field names are the official ones. Unknown fields are ignored (sibling checkpoints carry extra blocks);
a missing shape is an error, and only what the reference itself gives a default may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .fields import MOST_LAYERS, MOST_STEPS, Fields


@dataclass(frozen=True, slots=True)
class Family:
    """Tensors that a file numbers from 0 on behind ``prefix``, and the field that says how many there are."""

    prefix: str
    field: str
    count: int


@dataclass(frozen=True, slots=True)
class LmConfig:
    """Shapes of the speech language model (``config.json`` of the 7B repositories)."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_theta: float
    rms_norm_eps: float
    context_groups: int  # max_position_embeddings; one position is one group
    tied_embeddings: bool
    group_size: int  # frames in a group
    channels: int
    speech_vocab: tuple[int, ...]  # per channel, the empty id included
    speech_empty: tuple[int, ...]
    delays: tuple[int, ...]
    local_dim: int
    local_layers: int
    local_heads: int
    local_ffn_dim: int
    input_layers: int
    input_dim: int
    input_bidirectional: bool
    eos_token_id: int | None

    @property
    def local_steps(self) -> int:
        """Passes of the local decoder for one group."""
        return self.group_size + max(self.delays)

    @property
    def families(self) -> tuple[Family, ...]:
        return (
            Family("model.layers.", "num_hidden_layers", self.layers),
            Family("local_transformer.layers.", "local_layers", self.local_layers),
            Family("input_local_transformer.layers.", "input_local_layers", self.input_layers),
            Family("local_transformer_lm_heads.", "audio_channels", self.channels),
            Family("speech_embeddings.", "audio_channels", self.channels),
        )

    @classmethod
    def read(cls, folder: Path) -> LmConfig:
        """Read ``folder/config.json``; raises :class:`ConfigError` naming the field."""
        fields = Fields(folder / "config.json")
        fields.only("hidden_act", "silu")
        fields.only("rope_scaling", None)
        fields.only("use_sliding_window", False)
        channels = fields.count("audio_channels", 8)
        heads = fields.count("num_attention_heads")
        local_dim = fields.count("local_dim", 1024)
        eos = fields.raw.get("eos_token_id")
        config = cls(
            vocab_size=fields.count("vocab_size"),
            hidden_size=fields.count("hidden_size"),
            intermediate_size=fields.count("intermediate_size"),
            layers=fields.count("num_hidden_layers", most=MOST_LAYERS),
            heads=heads,
            kv_heads=fields.count("num_key_value_heads", heads),
            head_dim=fields.count("head_dim", 128),
            rope_theta=fields.number("rope_theta", 10_000.0),
            rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
            context_groups=fields.count("max_position_embeddings", 8192),
            tied_embeddings=fields.flag("tie_word_embeddings", False),
            group_size=fields.count("group_size", 4, most=MOST_STEPS),
            channels=channels,
            speech_vocab=fields.per_channel("speech_vocab_size", "1025-1025-129-129-129-129-129-129", channels),
            speech_empty=fields.per_channel("speech_zeroemb_idx", "1024-1024-128-128-128-128-128-128", channels),
            delays=fields.per_channel("delay_pattern", "0-1-2-3-4-5-6-7", channels, most=MOST_STEPS),
            local_dim=local_dim,
            local_layers=fields.count("local_layers", 16, most=MOST_LAYERS),
            local_heads=fields.count("local_attn_heads", 64),
            local_ffn_dim=fields.count("local_ffn_dim", 4096),
            input_layers=fields.count("input_local_layers", 6, most=MOST_LAYERS),
            input_dim=fields.count("input_local_dim", local_dim),
            # The reference's default is causal; a lost field would silently change every audio group, as it does there.
            input_bidirectional=fields.flag("input_full_attention", False),
            eos_token_id=eos if isinstance(eos, int) else None,
        )
        config._check(fields)
        return config

    def _check(self, fields: Fields) -> None:
        if self.heads % self.kv_heads:
            raise fields.wrong("num_key_value_heads", f"is {self.kv_heads}, which does not divide {self.heads} heads")
        if self.head_dim % 2:
            raise fields.wrong("head_dim", f"is {self.head_dim}, which cannot be turned in pairs")
        for name, width in (("local_dim", self.local_dim), ("input_local_dim", self.input_dim)):
            if width % (2 * self.local_heads):
                raise fields.wrong(name, f"is {width}, which {self.local_heads} heads of even size cannot share")
        for channel, (empty, vocab) in enumerate(zip(self.speech_empty, self.speech_vocab, strict=True)):
            if vocab < 2:
                raise fields.wrong("speech_vocab_size", f"of channel {channel} is {vocab}, which leaves nothing to say")
            if empty >= vocab:
                raise fields.wrong("speech_zeroemb_idx", f"of channel {channel} is {empty}, outside its {vocab} ids")


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Shapes of the audio tokenizer (``config.json`` of the tokenizer repository)."""

    sampling_rate_hz: int
    nfft: int
    window_size: int
    hop_length: int
    n_mels: int
    fmin_hz: float
    fmax_hz: float
    max_audio_s: float
    d_model: int
    kernel_size: int
    stride: int
    pool: int
    encoder_layers: int
    encoder_heads: int
    encoder_ffn_dim: int
    encoder_skip_layer: int | None
    encoder_window: tuple[int, int]
    codebook_sizes: tuple[int, ...]
    decoder_layers: int
    decoder_heads: int
    decoder_ffn_dim: int
    decoder_kernel_size: int
    decoder_stride: int
    decoder_window: tuple[int, int]
    vocoder_dim: int
    vocoder_layers: int
    vocoder_heads: int
    vocoder_ffn_dim: int
    vocoder_window: tuple[int, int]
    rope_theta: float

    @property
    def families(self) -> tuple[Family, ...]:
        return (
            Family("encoder.layers.", "encoder_layers", self.encoder_layers),
            Family("encoder.quantizer.vq.layers.", "num_quantizers", len(self.codebook_sizes)),
            Family("decoder.layers.", "decoder_layers", self.decoder_layers),
            Family("decoder.vocoder.layers.", "vocoder_num_layers", self.vocoder_layers),
        )

    @property
    def mel_per_frame(self) -> int:
        """Mel frames behind one code frame."""
        return self.stride * self.pool

    @property
    def samples_per_frame(self) -> int:
        """Samples that one code frame decodes to."""
        return self.hop_length * self.pool * self.decoder_stride

    @classmethod
    def read(cls, folder: Path) -> CodecConfig:
        """Read ``folder/config.json``; raises :class:`ConfigError` naming the field."""
        fields = Fields(folder / "config.json")
        fields.only("activation_function", "gelu")
        fields.only("ln_type", "LayerNorm")
        fields.only("position_embedding_type", "rope")
        fields.only("rope_type", "default")
        fields.only("vocoder_padding", "same")
        rate = fields.count("sampling_rate", 24_000)
        skip = fields.raw.get("encoder_skip_layer_id")
        config = cls(
            sampling_rate_hz=rate,
            nfft=fields.count("nfft"),
            window_size=fields.count("window_size"),
            hop_length=fields.count("hop_length"),
            n_mels=fields.count("n_mels"),
            fmin_hz=fields.number("fmin", 0.0, least=0),
            fmax_hz=fields.number("fmax", rate / 2),
            max_audio_s=fields.number("max_audio_seconds", 1800),
            d_model=fields.count("d_model"),
            kernel_size=fields.count("kernel_size"),
            stride=fields.count("stride_size"),
            pool=fields.count("avg_pooler"),
            encoder_layers=fields.count("encoder_layers", most=MOST_LAYERS),
            encoder_heads=fields.count("encoder_attention_heads"),
            encoder_ffn_dim=fields.count("encoder_ffn_dim"),
            encoder_skip_layer=None if skip is None else fields.count("encoder_skip_layer_id"),
            encoder_window=_window(fields, "encoder", causal=False),
            codebook_sizes=_codebook_sizes(fields),
            decoder_layers=fields.count("decoder_layers", most=MOST_LAYERS),
            decoder_heads=fields.count("decoder_attention_heads"),
            decoder_ffn_dim=fields.count("decoder_ffn_dim"),
            decoder_kernel_size=fields.count("decoder_kernel_size"),
            decoder_stride=fields.count("decoder_stride_size"),
            decoder_window=_window(fields, "decoder", causal=True),
            vocoder_dim=fields.count("vocoder_dim"),
            vocoder_layers=fields.count("vocoder_num_layers", most=MOST_LAYERS),
            vocoder_heads=fields.count("vocoder_attention_heads"),
            vocoder_ffn_dim=fields.count("vocoder_intermediate_dim"),
            vocoder_window=fields.window("vocoder_attn_window_size", (40, 10)),
            rope_theta=fields.number("rope_theta", 10_000.0),
        )
        config._check(fields)
        return config

    def _check(self, fields: Fields) -> None:
        if not self.fmin_hz < self.fmax_hz <= self.sampling_rate_hz / 2:
            hz = f"{self.fmin_hz:g} Hz, and up to half of the sampling rate"
            raise fields.wrong("fmax", f"is {self.fmax_hz:g}, which is not above fmin, {hz}")
        if self.nfft % 2:
            raise fields.wrong("nfft", f"is {self.nfft}, which is not even")
        if self.window_size != self.nfft:
            raise fields.wrong("window_size", f"is {self.window_size}; this code can run {self.nfft} (nfft)")
        if 2 * self.hop_length > self.nfft:
            raise fields.wrong("hop_length", f"is {self.hop_length}, more than half of nfft {self.nfft}")
        if self.decoder_kernel_size < self.decoder_stride:
            stride = f"decoder_stride_size {self.decoder_stride}"
            raise fields.wrong("decoder_kernel_size", f"is {self.decoder_kernel_size}, less than {stride}")
        if self.encoder_skip_layer is not None and self.encoder_skip_layer > self.encoder_layers:
            raise fields.wrong("encoder_skip_layer_id", f"is {self.encoder_skip_layer} of {self.encoder_layers} layers")
        for name, width, heads in (
            ("encoder_attention_heads", self.d_model, self.encoder_heads),
            ("decoder_attention_heads", self.d_model, self.decoder_heads),
            ("vocoder_attention_heads", self.vocoder_dim, self.vocoder_heads),
        ):
            if width % (2 * heads):
                raise fields.wrong(name, f"is {heads}, which cannot share a width of {width} in heads of even size")


def _window(fields: Fields, part: str, *, causal: bool) -> tuple[int, int]:
    left, right = fields.window(f"{part}_attn_window_size", (-1, -1))
    return (left, 0) if fields.flag(f"{part}_causal", causal) else (left, right)


def _codebook_sizes(fields: Fields) -> tuple[int, ...]:
    """One size per quantizer; the reference lets the last entry of a short list repeat."""
    quantizers = fields.count("num_quantizers")
    value = fields.raw.get("codebook_size")
    sizes = value if isinstance(value, list) else [value]
    whole = [size for size in sizes if isinstance(size, int) and size > 0]
    if not whole or len(whole) != len(sizes):
        raise fields.wrong("codebook_size", f"must be whole numbers above 0, but is {value!r}")
    return tuple(whole[min(index, len(whole) - 1)] for index in range(quantizers))
