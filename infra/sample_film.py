"""Makes the sample film: two people talk over music for about a minute, and the truth about it.

``python infra/sample_film.py OUT_DIR`` writes ``talk.mp4``, ``talk.en.srt`` (who says what, exactly when) and
``music.wav`` (the bed alone). The same options make the same bytes. With other voices, a dialogue of one's own, 5.1 or
a late audio start it makes films that are not the sample.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
FRAMES_PER_S = 25
WIDTH, HEIGHT = 1280, 720

TITLE = "Sunday morning"
DIALOGUE = """
ANNA: Do you want coffee or tea?
TOM: I want coffee with milk and sugar.
ANNA: Today is Sunday, and the children are sleeping.
TOM: Yes, thank you. The house is very quiet.
ANNA: The flowers are beautiful this year.
TOM: My brother is going to visit us next week.
ANNA: I want to hear his music.
TOM: Yes, he plays the piano every day.
ANNA: Do you remember his songs?
TOM: Yes, I remember every song.
ANNA: Then we can sing together on Monday.
TOM: My mother was an intelligent woman.
ANNA: She always said that everything is possible.
TOM: I am going to clean the kitchen.
ANNA: Thank you. You are a good friend.
TOM: Of course. We have a lot of time.
ANNA: I think the weather will be better tomorrow.
TOM: The dog is sleeping under the table.
ANNA: Now the coffee is ready.
"""

LEAD_S, TAIL_S = 1.5, 2.0
PAUSE_S = 0.95  # after a line: people think before they answer, and other languages need more words
SPEECH_DBFS = -20.0  # RMS of the voices
MUSIC_DBFS = -44.0  # RMS of the music: well heard in pauses, and never in the way
SILENT_BELOW = 10 ** (-40 / 20)  # of a voice's peak: flite's own noise floor is not speech

Wave = NDArray[np.float32]
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Said:
    """One line of the film, in samples of its sound."""

    speaker: str
    text: str
    start: int
    sound: Wave

    @property
    def end(self) -> int:
        return self.start + len(self.sound)


def speak(text: str, voice: str, folder: Path) -> Wave:
    """A line by flite, without the silence around it."""
    file = folder / "line.wav"
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True)
    with wave.open(str(file)) as reader:
        rate = reader.getframerate()
        own: Wave = (np.frombuffer(reader.readframes(reader.getnframes()), "<i2") / 32768).astype(np.float32)
    sound = raised(own, RATE_HZ // rate)
    heard = np.flatnonzero(np.abs(sound) > np.abs(sound).max() * SILENT_BELOW)
    sound = sound[heard[0] : heard[-1] + 1]
    sound *= np.float32(10 ** (SPEECH_DBFS / 20) / np.sqrt((sound**2).mean()))
    return sound


def raised(own: Wave, factor: int) -> Wave:
    """The sound at a rate that is ``factor`` times as high."""
    spread = np.zeros(len(own) * factor, np.float32)
    spread[::factor] = own
    steps = np.arange(-32 * factor, 32 * factor + 1)
    return np.convolve(spread, np.sinc(steps / factor) * np.kaiser(len(steps), 6.0), "same").astype(np.float32)


def talk(dialogue: str, voices: list[str], seconds: float, folder: Path) -> list[Said]:
    """The dialogue, again and again for as long as the film lasts."""
    written = [line.partition(":") for line in dialogue.strip().splitlines() if ":" in line]
    names = list(dict.fromkeys(name.strip() for name, _, _ in written))
    spoken = {
        (name, text): speak(text.strip(), voices[names.index(name.strip()) % len(voices)], folder)
        for name, _, text in written
    }
    said: list[Said] = []
    at = round(LEAD_S * RATE_HZ)
    while True:
        for name, _, text in written:
            sound = spoken[name, text]
            if seconds and at + len(sound) > (seconds - TAIL_S) * RATE_HZ:
                return said
            said.append(Said(name.strip(), text.strip(), at, sound))
            at += len(sound) + round(PAUSE_S * RATE_HZ)
        if not seconds:
            return said


def compose(length: int) -> tuple[Wave, Wave, Wave]:
    """Music that goes on calmly: chords that swell, a plucked melody over them, a bass. Left, right, bass."""
    chords = ((57, 60, 64, 67), (53, 57, 60, 64), (48, 55, 60, 64), (55, 59, 62, 67))  # Am7 F C G
    bar = 4 * RATE_HZ
    time = np.arange(bar) / RATE_HZ
    swell = np.sin(np.pi * np.arange(bar) / bar) ** 0.7
    rng = np.random.default_rng(7)
    left, right, bass = (np.zeros(length + 2 * bar, np.float64) for _ in range(3))
    for index, start in enumerate(range(0, length, bar)):
        chord = chords[index % len(chords)]
        for voice, note in enumerate(chord):
            hz = 440 * 2 ** ((note - 69) / 12)
            tone = swell * (np.sin(2 * np.pi * hz * time) + 0.3 * np.sin(4 * np.pi * hz * time + voice))
            share = 0.3 + 0.4 * voice / (len(chord) - 1)
            left[start : start + bar] += tone * (1 - share)
            right[start : start + bar] += tone * share
        bass[start : start + bar] += 1.2 * swell * np.sin(2 * np.pi * 440 * 2 ** ((chord[0] - 81) / 12) * time)
        for beat in range(8):
            hz = 440 * 2 ** ((int(rng.choice(chord)) + 12 - 69) / 12)
            tone = np.exp(-3 * time) * np.sin(2 * np.pi * hz * time + 0.5 * np.sin(4 * np.pi * hz * time))
            place = start + beat * bar // 8
            left[place : place + bar] += 0.7 * tone * (0.4 + 0.2 * (beat % 2))
            right[place : place + bar] += 0.7 * tone * (0.6 - 0.2 * (beat % 2))
    fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / RATE_HZ)
    level = 10 ** (MUSIC_DBFS / 20) / np.sqrt(((left + bass) ** 2)[:length].mean())
    return scaled(left, fade * level), scaled(right, fade * level), scaled(bass, fade * level)


def scaled(part: NDArray[np.float64], level: NDArray[np.float64]) -> Wave:
    return (part[: len(level)] * level).astype(np.float32)


def arrange(said: list[Said], length: int, layout: str) -> tuple[Wave, Wave]:
    """The whole sound and the music alone, as (samples, channels) in WAV order."""
    left, right, bass = compose(length)
    voice = np.zeros(length, np.float32)
    for line in said:
        voice[line.start : line.end] += line.sound
    if layout == "5.1":  # front left and right, centre, low frequencies, back left and right
        echo = [np.float32(0.5) * np.roll(part, RATE_HZ // 50) for part in (left, right)]
        music = np.stack([left + bass, right + bass, 0 * left, bass, *echo], axis=1)
        return music + voice[:, None] * np.array([0, 0, 1, 0, 0, 0], np.float32), music
    music = np.stack([left + bass, right + bass], axis=1)
    return music + voice[:, None], music


def draw() -> tuple[Picture, Picture]:
    """The room, and the coordinates of its pixels: (height, width, 3) from 0 to 1, and (2, height, width)."""
    grid = np.stack(np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")).astype(np.float32)
    y, x = grid
    wall = np.stack([0.96 - 0.12 * y / HEIGHT, 0.90 - 0.14 * y / HEIGHT, 0.80 - 0.12 * y / HEIGHT], axis=-1)
    room = wall.astype(np.float32)
    paint(room, y > 590, (0.62, 0.44, 0.31))
    paint(room, (y > 586) & (y < 594), (0.50, 0.34, 0.24))
    paint(room, (np.abs(x - 640) < 152) & (np.abs(y - 232) < 122), (0.99, 0.99, 0.98))
    inside = (np.abs(x - 640) < 140) & (np.abs(y - 232) < 110)
    room[inside] = np.stack([0.55 + 0.1 * y / 342, 0.78 + 0.1 * y / 342, 0.95 + 0 * y], axis=-1)[inside]
    paint(room, inside & ((x - 700) ** 2 + (y - 180) ** 2 < 30**2), (1.0, 0.90, 0.45))
    paint(room, inside & ((x - 560) ** 2 / 4 + (y - 350) ** 2 < 60**2), (0.45, 0.68, 0.40))
    paint(room, inside & ((x - 720) ** 2 / 5 + (y - 360) ** 2 < 58**2), (0.38, 0.60, 0.36))
    paint(room, (np.abs(x - 640) < 4) & (np.abs(y - 232) < 110), (0.99, 0.99, 0.98))
    paint(room, (np.abs(x - 640) < 230) & (np.abs(y - 560) < 11), (0.42, 0.27, 0.18))
    for leg in (450, 830):
        paint(room, (np.abs(x - leg) < 9) & (y > 560) & (y < 660), (0.42, 0.27, 0.18))
    for cup in (560, 720):
        paint(room, (np.abs(x - cup) < 20) & (np.abs(y - 530) < 20), (0.98, 0.98, 0.96))
        ring = (x - cup - 22) ** 2 + (y - 530) ** 2
        paint(room, (ring < 13**2) & (ring > 7**2) & (x > cup + 20), (0.98, 0.98, 0.96))
    return room, grid


@dataclass(frozen=True)
class Look:
    """How somebody is drawn."""

    x: int
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    shirt: tuple[float, float, float]
    long_hair: bool

    @property
    def shade(self) -> tuple[float, ...]:
        return tuple(0.9 * c for c in self.skin)


PEOPLE = (
    Look(300, (0.95, 0.78, 0.66), (0.45, 0.22, 0.12), (0.20, 0.52, 0.55), long_hair=True),
    Look(980, (0.86, 0.67, 0.52), (0.16, 0.13, 0.12), (0.72, 0.36, 0.24), long_hair=False),
)


def person(picture: Picture, grid: Picture, who: int) -> None:
    """Draw somebody, all but the mouth."""
    y, x = grid
    look = PEOPLE[who]
    at, inward = look.x, 1 if look.x < WIDTH / 2 else -1
    if look.long_hair:
        paint(picture, ((x - at) ** 2 / 104**2 + (y - 345) ** 2 / 150**2 < 1) & (y < 470), look.hair)
    body = (x - at) ** 2 / 150**2 + (y - 640) ** 2 / 190**2 < 1
    paint(picture, body & (y < 690), look.shirt)
    paint(picture, (np.abs(x - at) < 30) & (y > 380) & (y < 470), look.shade)
    paint(picture, (x - at) ** 2 / 84**2 + (y - 318) ** 2 / 102**2 < 1, look.skin)
    cap = ((x - at) ** 2 / 90**2 + (y - 306) ** 2 / 106**2 < 1) & (y < 268 + 0.12 * np.abs(x - at))
    paint(picture, cap, look.hair)
    for eye in (-32, 32):
        paint(picture, (x - at - eye - 4 * inward) ** 2 / 10**2 + (y - 312) ** 2 / 13**2 < 1, (0.99, 0.99, 0.99))
        paint(picture, (x - at - eye - 8 * inward) ** 2 + (y - 313) ** 2 < 6**2, (0.15, 0.10, 0.08))
        paint(picture, (np.abs(x - at - eye - 4 * inward) < 15) & (np.abs(y - 288) < 3), look.hair)
    paint(picture, ((x - at - 6 * inward) ** 2 / 7**2 + (y - 338) ** 2 / 12**2 < 1), look.shade)


def mouth(picture: Picture, grid: Picture, who: int, opened: float) -> None:
    """Draw somebody's mouth, open from 0 (shut) to 1."""
    y, x = grid
    at, inward = PEOPLE[who].x, 1 if PEOPLE[who].x < WIDTH / 2 else -1
    open_y = 3 + 17 * opened
    paint(picture, (x - at - 4 * inward) ** 2 / 27**2 + (y - 374) ** 2 / open_y**2 < 1, (0.55, 0.16, 0.16))


def paint(picture: Picture, where: NDArray[np.bool_], colour: tuple[float, ...]) -> None:
    picture[where] = colour


MOUTHS = (0.0, 0.35, 0.7, 1.0)


def film_frames(said: list[Said], names: list[str], count: int, late_s: float) -> list[tuple[int, int]]:
    """For every frame who speaks (−1: nobody) and which mouth that is, by how loud the voice is just then."""
    frames = [(-1, 0)] * count
    step = RATE_HZ // FRAMES_PER_S
    for line in said:
        loudest = np.abs(line.sound).max()
        first = round((line.start / RATE_HZ + late_s) * FRAMES_PER_S)
        for index in range(-(-len(line.sound) // step)):
            level = np.abs(line.sound[index * step : (index + 1) * step]).max() / loudest
            if first + index < count:
                frames[first + index] = (names.index(line.speaker), 1 + min(2, int(level * 3)))
    return frames


def write_wav(path: Path, sound: Wave, layout: str) -> None:
    """32-bit float, with the loudspeaker of every channel named."""
    channels = sound.shape[1]
    mask = 0x3F if layout == "5.1" else 0x3
    data = np.ascontiguousarray(sound, "<f4").tobytes()
    guid = struct.pack("<IHH8s", 3, 0, 16, bytes.fromhex("800000aa00389b71"))
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, channels, RATE_HZ, RATE_HZ * 4 * channels, 4 * channels, 32, 22, 32, mask)
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", 40) + fmt + guid + struct.pack("<4sI", b"data", len(data)) + data
    path.write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def write_script(path: Path, said: list[Said], late_s: float) -> None:
    def stamp(samples: int) -> str:
        ms = round((samples / RATE_HZ + late_s) * 1000)
        return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    cues = (
        f"{number}\n{stamp(line.start)} --> {stamp(line.end)}\n{line.speaker}: {line.text}\n"
        for number, line in enumerate(said, 1)
    )
    path.write_text("\n".join(cues), "utf-8")


def letter(drawings: bytes, names: list[str]) -> bytes:
    """Write the title and everybody's name into drawings, and turn them into what the encoder takes."""
    font = "font=DejaVu Sans"
    texts = [f"drawtext={font}:text={TITLE}:fontsize=44:fontcolor=0x5a3a28:x=(w-tw)/2:y=36"]
    for look, name in zip(PEOPLE, names, strict=False):
        shown = "".join(c for c in name.capitalize() if c.isalnum() or c == " ")
        texts.append(f"drawtext={font}:text={shown}:fontsize=34:fontcolor=white:x={look.x}-tw/2:y=640")
    raw = ("-f", "rawvideo", "-s", f"{WIDTH}x{HEIGHT}", "-pix_fmt")
    argv = ["ffmpeg", "-v", "error", *raw, "rgb24", "-i", "pipe:0", "-vf", ",".join(texts), *raw, "yuv420p", "pipe:1"]
    return subprocess.run(argv, input=drawings, stdout=subprocess.PIPE, check=True).stdout


def write_film(
    path: Path, wav: Path, frames: list[tuple[int, int]], names: list[str], late_s: float, channels: int
) -> None:
    """Encode; the picture is a handful of drawings, chosen frame by frame."""
    room, grid = draw()
    drawings: dict[tuple[int, int], bytes] = {}
    people = range(min(len(names), len(PEOPLE)))
    for index in people:
        person(room, grid, index)
        mouth(room, grid, index, 0.0)
    for who, opened in sorted(set(frames)):
        picture = room.copy()
        if who in people:
            mouth(picture, grid, who, MOUTHS[opened])
        drawings[who, opened] = (picture * 255).astype(np.uint8).tobytes()
    lettered = letter(b"".join(drawings.values()), names)
    size = len(lettered) // len(drawings)
    for index, drawing in enumerate(drawings):
        drawings[drawing] = lettered[index * size : (index + 1) * size]
    argv = [
        *("ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *(
            "-s",
            f"{WIDTH}x{HEIGHT}",
            "-r",
            str(FRAMES_PER_S),
            "-i",
            "pipe:0",
            "-itsoffset",
            str(late_s),
            "-i",
            str(wav),
        ),
        *("-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-threads", "2"),
        *("-c:a", "aac", "-b:a", f"{96 * channels}k", "-metadata:s:a:0", "language=eng"),
        *(
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-flags:a",
            "+bitexact",
            "-movflags",
            "+faststart",
            str(path),
        ),
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        for frame in frames:
            encoder.stdin.write(drawings[frame])
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise SystemExit("sample_film: ffmpeg could not encode the film")


def make(
    out: Path,
    *,
    name: str = "talk",
    voices: list[str] | None = None,
    dialogue: str = DIALOGUE,
    layout: str = "stereo",
    late_s: float = 0.0,
    seconds: float = 0.0,
) -> Path:
    """Make the film with its truth; returns the path of the film."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        said = talk(dialogue, voices or ["slt", "rms"], seconds, Path(folder))
        length = round(seconds * RATE_HZ - late_s * RATE_HZ) if seconds else said[-1].end + round(TAIL_S * RATE_HZ)
        sound, music = arrange(said, length, layout)
        names = list(dict.fromkeys(line.speaker for line in said))
        frames = film_frames(said, names, round((length / RATE_HZ + late_s) * FRAMES_PER_S), late_s)
        wav = Path(folder) / "sound.wav"
        write_wav(wav, sound, layout)
        write_film(out / f"{name}.mp4", wav, frames, names, late_s, sound.shape[1])
    late = np.zeros((round(late_s * RATE_HZ), music.shape[1]), np.float32)
    write_wav(out / "music.wav", np.concatenate([late, music]), layout)
    write_script(out / f"{name}.en.srt", said, late_s)
    return out / f"{name}.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample film with the truth about it.")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--name", default="talk", help="stem of the file names")
    parser.add_argument("--voices", default="slt,rms", help="flite's voices, by order of appearance")
    parser.add_argument("--dialogue", type=Path, help="a text file of lines NAME: text")
    parser.add_argument("--layout", choices=("stereo", "5.1"), default="stereo")
    parser.add_argument("--late", type=float, default=0.0, metavar="SECONDS", help="the sound starts this much late")
    parser.add_argument("--seconds", type=float, default=0.0, help="length; 0: the dialogue once")
    given = parser.parse_args()
    make(
        given.out,
        name=given.name,
        voices=given.voices.split(","),
        dialogue=given.dialogue.read_text("utf-8") if given.dialogue else DIALOGUE,
        layout=given.layout,
        late_s=given.late,
        seconds=given.seconds,
    )


if __name__ == "__main__":
    main()
