"""Checks of a finished delivery: what was asked for against what the files, opened again, turn out to be.

Nothing here trusts the part that made the files: containers are read by ffprobe, languages out of the boxes, pictures
compared packet by packet, loudness measured on the encoded sound. A container that is wrong is never published
(``raise_if_broken``); a value outside the profile is published, sends the delivery to a person, and the report
says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechmill import languages
from speechmill.errors import NotPublishable
from speechmill.lines import RATE_HZ
from speechmill.profiles import Profile
from speechmill.recipes import Digest
from speechmill.reports import Check, Loudness, SpokenLine
from storage.artifacts import ArtifactStore
from tasks.disclosing import OF_A_DUB
from tasks.media import boxes, ffmpeg, pictures
from tasks.media.packing import Packed, Stream
from tasks.media.probing import Media, Picture
from tasks.sound import metering
from tasks.sound.layouts import AAC_AS
from tasks.sound.loudness import SILENCE_LUFS

AAC_FRAME_S = 1024 / RATE_HZ  # a recording has no frames of its own: what an encoder may add at the end
TICK_S = 0.0005  # containers count in ticks of their own: half a millisecond is no difference
BED_SHORT_S = 1.0  # a bed may end with the last sound of a film; what is missing beyond that is heard
FOR_A_PERSON = frozenset({"loudness", "true-peak", "loudness-range", "voices", "bed", "speech"})
"""Checks that may fail in a delivery that is published; every other one says that a file is broken."""
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """One language's dub as it is to be published."""

    language: str
    audio: Path  # .m4a
    channels: int
    layout: str  # ffmpeg's name
    loudness: Loudness  # of ``audio``, by ``measure_encoded``


def measure_encoded(
    store: ArtifactStore, audio: Digest, *, threads: int, spans: Iterable[tuple[int, int]] | None = None
) -> Loudness:
    """Loudness and true peak of an encoded file, decoded again and measured by ffmpeg's own meter.

    With ``spans`` (samples at 48 kHz, disjoint) the integrated loudness is that of these spans only, as a profile with
    a dialogue gate asks for. Parts that were measured before are found, not measured.
    """
    return metering.readings(store, audio, threads=threads).loudness(spans)


def raise_if_broken(checks: Iterable[Check]) -> None:
    """Raise ``NotPublishable`` where a check that a person may not wave through did not pass."""
    broken = [check for check in checks if not check.passed and check.id not in FOR_A_PERSON and not check.advisory]
    if broken:
        what = ", ".join(f"{check.id} is {check.measured}, not {check.required}" for check in broken)
        raise NotPublishable(
            f"the delivery is not as it must be ({what})",
            hint="nothing was published; run again, and report it with what `ffprobe` says of the source",
            checks=[check.id for check in broken],
        )


def check_audio(media: Media, encoded: Encoded, profile: Profile) -> list[Check]:
    """The encoded dub on its own: what it is, how long, how loud."""
    found = ffmpeg.probe(encoded.audio)
    streams = found["streams"]
    stream = streams[0] if streams else {}
    checks = [
        _same("audio-streams", [s["codec_type"] for s in streams], ["audio"], "What the file of the dub holds"),
        _same("audio-codec", stream.get("codec_name"), profile.encoding.codec, "Codec of the dub"),
        _same("audio-rate", int(stream.get("sample_rate", 0)), RATE_HZ, "Sample rate of the dub"),
        _same("audio-channels", int(stream.get("channels", 0)), encoded.channels, "Channels of the dub"),
        _check_layout(stream.get("channel_layout", ""), encoded.layout),
        _near("audio-length", float(stream.get("duration", 0)), media.duration_s, _frame_s(media), "Length of the dub"),
        _check_disclosure("audio-disclosure", found),
    ]
    return checks + check_loudness(encoded, profile)


def check_loudness(encoded: Encoded, profile: Profile) -> list[Check]:
    """What the encoded dub measures against its profile; nothing is asked of silence."""
    limits, heard = profile.loudness, encoded.loudness
    if heard.integrated_lufs <= SILENCE_LUFS:
        return []
    wanted_lufs = limits.target_lufs(encoded.channels)
    checks = [
        Check(
            id="loudness",
            passed=abs(heard.integrated_lufs - wanted_lufs) <= limits.tolerance_lu,
            measured=heard.integrated_lufs,
            required=f"{wanted_lufs:g} ± {limits.tolerance_lu:g} LUFS",
            about="Loudness of the encoded file" + (", over speech" if limits.dialogue_gated else ""),
        ),
        Check(
            id="true-peak",
            passed=heard.true_peak_dbtp <= limits.true_peak_dbtp,
            measured=heard.true_peak_dbtp,
            required=f"≤ {limits.true_peak_dbtp:g} dBTP",
            about="True peak of the encoded file",
        ),
    ]
    if limits.lra_max_lu is not None and heard.lra_lu is not None:
        checks.append(
            Check(
                id="loudness-range",
                passed=heard.lra_lu <= limits.lra_max_lu,
                measured=heard.lra_lu,
                required=f"≤ {limits.lra_max_lu:g} LU",
                about="Loudness range of the encoded file",
            )
        )
    return checks


def check_speech(lines: Iterable[SpokenLine]) -> Check:
    """Whether anything is said at all. A film without speech has no dub to be content with."""
    heard = [line.placed_start_s is not None for line in lines]
    spoken = sum(heard)
    return Check(
        id="speech",
        passed=spoken > 0,
        measured=f"{spoken} of {len(heard)}" if heard else "nobody was heard to speak",
        required="a line or more",
        about="Lines that are spoken",
    )


def check_bed(media: Media, bed_s: float) -> Check:
    """Whether there is something under the dub to its end."""
    return Check(
        id="bed",
        passed=bed_s >= media.duration_s - BED_SHORT_S,
        measured=round(bed_s, 3),
        required=f"≥ {media.duration_s - BED_SHORT_S:.3f} s",
        about="Length of the bed: where it has ended, nothing is heard under the dub",
    )


def check_film(media: Media, packed: Packed, packets: Digest | None, store: ArtifactStore) -> list[Check]:
    """The packed film: streams in their order, languages, dispositions, times, and the picture itself.

    ``packets`` is the list that ``extraction.extract`` made of the source's picture.
    """
    picture = media.picture
    if picture is None or packets is None:
        raise ValueError("a film has a picture")
    found = ffmpeg.probe(packed.path)
    streams = [s for s in found["streams"] if s["codec_type"] in ("video", "audio", "subtitle")]
    wanted = packed.streams
    tags = boxes.read_languages(packed.path)[: len(wanted)]
    checks = [
        _same("streams", [_kind(s) for s in streams], [f"{w.kind} {w.codec}" for w in wanted], "Streams of the film"),
        _same("languages", [_language(s) for s in streams], [_alpha3(w) for w in wanted], "Languages, ISO 639-2"),
        _same("language-tags", tags, [w.language for w in wanted], "Languages, BCP-47"),
        _same("dispositions", [_roles(s) for s in streams], [_wanted_roles(w) for w in wanted], "What is on at first"),
        _same("chapters", len(found["chapters"]), len(media.chapters), "Chapters"),
        _check_disclosure("disclosure", found),
        *(_check_copied("sound-copied", w, "original sound") for w in wanted if w.was and w.kind == "audio"),
    ]
    if [s["codec_type"] for s in streams] != [w.kind for w in wanted]:
        return checks  # what follows would compare other streams than it says
    frame_s = picture.frame_s
    video, *rest = streams
    dubs = [s for s, w in zip(rest, wanted[1:], strict=True) if w.dub]
    size = f"{video['width']}×{video['height']}"
    checks += [
        _same("picture-size", size, _size(picture, copied=packed.picture_copied), "Size of the picture"),
        _near("picture-start", float(video["start_time"]), picture.start_s, frame_s, "When the picture begins"),
        *(_near("dub-start", float(dub["start_time"]), 0.0, 1 / RATE_HZ, "When the dub begins") for dub in dubs),
        *(_near("dub-length", float(dub["duration"]), media.duration_s, frame_s, "Length of the dub") for dub in dubs),
    ]
    return checks + _check_picture(media, picture, packed, packets, store)


def _check_picture(
    media: Media, picture: Picture, packed: Packed, packets: Digest, store: ArtifactStore
) -> list[Check]:
    with store.scratch() as folder:
        listed = folder / "packets"
        naked = pictures.naked(media) and packed.picture_copied
        pictures.list_packets(ffmpeg.source(packed.path), "v:0", packed.streams[0].codec, listed, naked=naked)
        shown, source = pictures.read(listed), pictures.read(store.path(packets))
    length = _near("picture-length", shown.duration_s, source.duration_s, picture.frame_s, "Length of the picture")
    if not packed.picture_copied:
        copied = _check_copied("picture-copied", packed.streams[0], "picture")
        return [length, _same("picture-frames", shown.count, source.count, "Frames of the picture"), copied]
    identical = Check(
        id="picture",
        passed=pictures.same_frames(picture, source, shown),
        measured=f"{shown.count} packets, {shown.digest[:12]}",
        required=f"{source.count} packets, {source.digest[:12]}",
        about="Picture as in the source, packet by packet and at the same times",
    )
    return [length, identical]


def _check_copied(name: str, stream: Stream, what: str) -> Check:
    about = f"The {what} had to be encoded anew: MP4 cannot hold the source's codec"
    return Check(id=name, passed=False, measured=stream.codec, required=stream.was, about=about, advisory=True)


def _check_disclosure(name: str, found: dict[str, Any]) -> Check:
    said = OF_A_DUB in found["format"].get("tags", {}).get("comment", "")
    told = "said in the comment"
    about = "That the dub's voices are made"
    return Check(id=name, passed=said, measured=told if said else "not said", required=told, about=about)


def _same(name: str, measured: Any, required: Any, about: str) -> Check:
    def told(value: Any) -> Value:
        return ", ".join(str(part or "–") for part in value) if isinstance(value, list) else value

    return Check(id=name, passed=measured == required, measured=told(measured), required=told(required), about=about)


def _near(name: str, measured_s: float, required_s: float, within_s: float, about: str) -> Check:
    return Check(
        id=name,
        passed=abs(measured_s - required_s) <= within_s + TICK_S,
        measured=round(measured_s, 3),
        required=f"{required_s:.3f} ± {within_s:.3f} s",
        about=about,
    )


def _frame_s(media: Media) -> float:
    return media.picture.frame_s if media.picture else AAC_FRAME_S


def _check_layout(found: str, wanted: str) -> Check:
    """AAC has one 5.1, whose surrounds it calls back; a layout without a number of its own in AAC is described in the
    stream in a way that ffprobe calls unknown, and then the number of channels has to do."""
    passed = found == AAC_AS[wanted] if wanted in AAC_AS else True
    return Check(id="audio-layout", passed=passed, measured=found, required=wanted, about="Layout of the dub")


def _kind(stream: dict[str, Any]) -> str:
    return f"{stream['codec_type']} {stream.get('codec_name')}"


def _language(stream: dict[str, Any]) -> str | None:
    return None if stream["codec_type"] == "video" else str(stream.get("tags", {}).get("language", "und"))


def _alpha3(wanted: Stream) -> str | None:
    return languages.iso639_2t(wanted.language) if wanted.language else None


def _roles(stream: dict[str, Any]) -> str:
    return "+".join(role for role in ("default", "dub") if stream["disposition"].get(role))


def _wanted_roles(wanted: Stream) -> str:
    return "+".join(role for role, has in (("default", wanted.default), ("dub", wanted.dub)) if has)


def _size(picture: Picture, *, copied: bool) -> str:
    if copied:
        return f"{picture.width}×{picture.height}"
    sides = (picture.width, picture.height) if picture.rotation % 180 == 0 else (picture.height, picture.width)
    width, height = (side + side % 2 for side in sides)  # turned by the decoder, and made even for the encoder
    return f"{width}×{height}"
