"""Cover art: a user's own picture made fit for apps, or one drawn from the titles.

Square, 1,400 to 3,000 pixels, JPEG, RGB, under 512 KB (Apple's and Spotify's requirements for show art).
"""

from __future__ import annotations

import hashlib
import io
import math
import random
import unicodedata
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from speechmill import programs
from speechmill.errors import BadInput, MissingTool

LEAST_PIXELS, MOST_PIXELS = 1400, 3000
MOST_BYTES = 512 * 1024
SIDE = 1600  # of a drawn cover
MOST_SOURCE_PIXELS = 64_000_000  # 200 MB unpacked; no cover needs more
QUALITIES = (92, 88, 84, 80, 75, 70, 62, 54, 45, 30, 15)

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True)
class Palette:
    """Three colours that go together: the ground, the figure on it, and what is written."""

    ground: Colour
    figure: Colour
    accent: Colour
    ink: Colour


PALETTES = (
    Palette((20, 33, 61), (44, 72, 120), (252, 163, 17), (247, 244, 236)),
    Palette((244, 237, 224), (226, 205, 172), (196, 69, 54), (38, 30, 28)),
    Palette((17, 61, 56), (34, 104, 94), (233, 196, 106), (245, 242, 232)),
    Palette((61, 26, 52), (112, 48, 92), (245, 140, 106), (250, 240, 236)),
    Palette((230, 238, 240), (178, 205, 212), (23, 92, 112), (18, 38, 48)),
    Palette((34, 34, 40), (66, 66, 78), (120, 200, 170), (244, 244, 244)),
)
"""Ink on ground has a contrast of at least 10 : 1 (WCAG asks for 7)."""


def fit_cover(picture: Path, out: Path) -> tuple[str, ...]:
    """Make a user's picture a cover: cut to a square around its middle, scaled, RGB on white, JPEG. Returns what was
    changed, as sentences. Raises ``BadInput`` for what is no picture, or a larger one than can be a cover."""
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(picture, formats=("JPEG", "PNG", "WEBP")) as opened:
                if opened.width * opened.height > MOST_SOURCE_PIXELS:
                    raise BadInput(
                        f"the cover {picture.name} has {opened.width} × {opened.height} pixels",
                        hint=f"give a square of {LEAST_PIXELS} to {MOST_PIXELS}",
                    )
                image = _flat(ImageOps.exif_transpose(opened))
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(
            f"the cover {picture.name} is not a picture that can be read", hint="give a JPEG, PNG or WebP file"
        ) from None
    if image.width != image.height:
        notes.append(f"The cover was {image.width} × {image.height}; it was cut to a square around its middle.")
    side = min(max(min(image.size), LEAST_PIXELS), MOST_PIXELS)
    if min(image.size) < LEAST_PIXELS:
        notes.append(f"The cover was enlarged to {LEAST_PIXELS} pixels; give a larger picture for a sharp one.")
    _save(ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS), out)
    return tuple(notes)


def draw_cover(title: str, out: Path, *, show: str = "", author: str = "", number: int | None = None) -> None:
    """Draw a cover: colours and figure are chosen by the show (or the title, without one), so that the episodes of a
    show look alike; the same words always give the same picture."""
    seed = hashlib.sha256((show or title).encode()).digest()
    palette = PALETTES[seed[0] % len(PALETTES)]
    canvas = Image.new("RGB", (SIDE, SIDE), palette.ground)
    _figure(canvas, palette, random.Random(seed + title.encode()), seed[1] % 3)
    _words(canvas, palette, title, show, author, number)
    _save(canvas, out)


def _flat(image: Image.Image) -> Image.Image:
    """RGB, on white where the picture is transparent."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def _save(image: Image.Image, out: Path) -> None:
    """As good a JPEG as fits; smaller only where even the least quality does not (a picture of noise)."""
    while True:
        for quality in QUALITIES:
            held = io.BytesIO()
            image.save(held, "JPEG", quality=quality, optimize=True, progressive=False, dpi=(72, 72))
            if held.tell() <= MOST_BYTES:
                out.write_bytes(held.getvalue())
                return
        side = max(LEAST_PIXELS, image.width * 3 // 4)
        if side == image.width:
            raise BadInput("the cover does not fit into 512 KB", hint="give a calmer picture")
        image = image.resize((side, side), Image.Resampling.LANCZOS)


# -- what is drawn

DRAWN_AT = 2  # times the size, and scaled down: smooth edges


def _figure(canvas: Image.Image, palette: Palette, chance: random.Random, kind: int) -> None:
    """A figure of sound in the lower half: bars, rings or waves."""
    side = SIDE * DRAWN_AT
    large = Image.new("RGB", (side, side), palette.ground)
    pen = ImageDraw.Draw(large)
    (_bars, _rings, _waves)[kind](pen, side, palette, chance)
    canvas.paste(large.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _bars(pen: ImageDraw.ImageDraw, side: int, palette: Palette, chance: random.Random) -> None:
    """A wave form of round bars, as a recorder shows it."""
    count, middle = 27, side * 0.745
    step = side / count
    chosen = chance.randrange(8, count - 8)
    phase = chance.uniform(0, math.tau)
    for n in range(count):
        swell = 0.5 + 0.5 * math.sin(phase + n * 0.42) * math.sin(n * 0.23 + phase / 2)
        height = side * (0.025 + 0.105 * swell * chance.uniform(0.55, 1.0))
        x = (n + 0.5) * step
        colour = palette.accent if abs(n - chosen) <= 1 else palette.figure
        pen.rounded_rectangle((x - step * 0.26, middle - height, x + step * 0.26, middle + height), step * 0.26, colour)


def _rings(pen: ImageDraw.ImageDraw, side: int, palette: Palette, chance: random.Random) -> None:
    """Rings that go out from a corner, as sound from a source."""
    x, y = side * chance.uniform(0.82, 0.98), side * chance.uniform(0.86, 0.98)
    bright = chance.randrange(2, 5)
    for n in range(9, 0, -1):
        radius = side * 0.062 * n
        colour = palette.accent if n == bright else palette.figure
        width = round(side * (0.024 if n == bright else 0.012))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
    dot = side * 0.03
    pen.ellipse((x - dot, y - dot, x + dot, y + dot), fill=palette.accent)


def _waves(pen: ImageDraw.ImageDraw, side: int, palette: Palette, chance: random.Random) -> None:
    """Lines that swing side by side, one of them in the accent."""
    phase, turns = chance.uniform(0, math.tau), chance.uniform(1.1, 1.7)
    bright = chance.randrange(3, 6)
    for n in range(9):
        points = []
        for at in range(201):
            x = at / 200
            swing = math.sin(math.tau * turns * x + phase + n * 0.16) * math.sin(math.pi * x) ** 0.8
            points.append((x * side, side * (0.69 + 0.027 * n) + swing * side * (0.08 - 0.005 * n)))
        bold = n == bright
        pen.line(points, palette.accent if bold else palette.figure, round(side * (0.013 if bold else 0.006)), "curve")


# -- what is written

MARGIN = 0.085  # of the side
TITLE_ROOM = 0.40  # of the side, from the top margin down
LARGEST, SMALLEST = 0.125, 0.042
LEAST_WHOLE = 0.06  # a title is made so small before one of its words is broken
LEADING = 1.14
MOST_TITLE_LINES = 5
BOLD = 0.018  # of the size: the built-in face has one weight only


def _words(canvas: Image.Image, palette: Palette, title: str, show: str, author: str, number: int | None) -> None:
    pen = ImageDraw.Draw(canvas)
    left, width = round(SIDE * MARGIN), round(SIDE * (1 - 2 * MARGIN))
    top = left
    above = " · ".join(part for part in (show, f"{number}" if number is not None else "") if part)
    if above:
        face = _face(above, round(SIDE * 0.036))
        if face:
            pen.text((left, top), _one_line(above, face, width), palette.accent, font=face, stroke_width=1)
        top += round(SIDE * 0.075)
    pen.rectangle((left, top, left + SIDE * 0.09, top + SIDE * 0.008), palette.accent)
    top += round(SIDE * 0.04)
    lines, face = _set(title, width, round(SIDE * TITLE_ROOM))
    if face:
        for line in lines:
            pen.text((left, top), line, palette.ink, font=face, stroke_width=round(face.size * BOLD))
            top += round(face.size * LEADING)
    if author and author != show:
        face = _face(author, round(SIDE * 0.032))
        if face:
            bottom = SIDE - left - round(SIDE * 0.02)
            pen.text((left, bottom), _one_line(author, face, round(SIDE * 0.5)), palette.ink, font=face)


def _set(title: str, width: int, height: int) -> tuple[list[str], Font | None]:
    """The title in lines, as large as it fits without breaking a word; a word that is too wide even when it is small
    is broken, and a title that is too long even so ends in an ellipsis."""
    title = " ".join(title.split())
    face = _face(title, round(SIDE * LARGEST))
    if face is None:
        return [], None
    sizes = [round(SIDE * (LARGEST - (LARGEST - SMALLEST) * step / 29)) for step in range(30)]
    for whole, size in [*((True, s) for s in sizes if s >= SIDE * LEAST_WHOLE), *((False, s) for s in sizes)]:
        face = face.font_variant(size=size)
        if whole and any(face.getlength(word) > width and not _is_wide(word) for word in title.split()):
            continue
        lines = _lines(title, face, width)
        if len(lines) <= MOST_TITLE_LINES and len(lines) * size * LEADING <= height:
            return lines, face
    kept = lines[:MOST_TITLE_LINES]
    kept[-1] = _one_line(kept[-1] + " …", face, width)
    return kept, face


def _is_wide(word: str) -> bool:
    """Whether it is in a script that is broken anywhere, such as Chinese."""
    return any(unicodedata.east_asian_width(character) in "WF" for character in word)


def _lines(text: str, face: Font, width: int) -> list[str]:
    """Words in lines; what has no spaces is broken between characters."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if face.getlength(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def _one_line(text: str, face: Font, width: int) -> str:
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip(" …") + "…"


def _face(text: str, size: int) -> Font | None:
    """A face that has every character of the text: Pillow's own, or one of this machine's; None where there is none."""
    built_in = ImageFont.load_default(size)
    if isinstance(built_in, ImageFont.FreeTypeFont) and _has(built_in, text):
        return built_in
    path = _font_for("".join(sorted({c for c in text if not c.isspace()})))
    if path is None:
        return None
    face = ImageFont.truetype(path, size)
    return face if _has(face, text) else None


@cache
def _font_for(characters: str) -> str | None:
    """The file that fontconfig names for these characters."""
    wanted = "sans-serif:bold:charset=" + " ".join(f"{ord(c):x}" for c in characters)
    try:
        ran = programs.run(["fc-match", "-f", "%{file}", wanted], check=False, limits=programs.Limits(wall_s=20))
    except MissingTool:
        return None
    return ran.stdout.decode(errors="replace") or None


def _has(face: Font, text: str) -> bool:
    """Whether no character is drawn as the box that stands for a missing one."""
    missing = bytes(face.getmask("\uffff"))
    return all(bytes(face.getmask(c)) != missing for c in set(text) if not c.isspace())
