"""Documents of every kind, made on the spot."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from speechmill.settings import Settings
from tasks.documents.blocks import Document
from tasks.documents.reading import read_document

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def read(tmp_path: Path, settings: Settings) -> Callable[..., Document]:
    """Write a file and read it as a document."""

    def write_and_read(name: str, content: str | bytes) -> Document:
        path = tmp_path / name
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return read_document(path, settings)

    return write_and_read


def pdf_bytes(pages: Sequence[Sequence[str | tuple[int, str]]], *, info: str = "") -> bytes:
    """A PDF with these lines of text on its pages, in 12 points or the size given; one without is a picture."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        sized = [line if isinstance(line, tuple) else (12, line) for line in lines]
        shown = "".join(f"/F1 {size} Tf ({line}) Tj T* " for size, line in sized)
        stream = f"BT /F1 12 Tf 72 750 Td 15 TL {shown}ET" if lines else "0.5 g 72 72 300 300 re f"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< {info} >>")
    body, offsets = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = "".join(f"{at:010} 00000 n \n" for at in offsets)
    start = len(body)
    size = len(objects) + 1
    body += f"xref\n0 {size}\n0000000000 65535 f \n{table}".encode()
    return body + f"trailer << /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\nstartxref\n{start}\n%%EOF".encode()


def epub_file(path: Path, chapters: Sequence[str], *, extra: str = "", metadata: str = "") -> Path:
    """An EPUB with these XHTML bodies as chapters."""
    items = "".join(
        f'<item id="c{n}" href="text/c%20{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        )
        book.writestr(
            "OEBPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
            f"<dc:title>The Sea</dc:title><dc:language>en-GB</dc:language>{metadata}</metadata>"
            f"<manifest>{items}{extra}</manifest><spine>{spine}</spine></package>",
        )
        for number, body in enumerate(chapters):
            book.writestr(
                f"OEBPS/text/c {number}.xhtml",
                '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
                f"<head><title>x</title></head><body>{body}</body></html>",
            )
    return path


def docx_file(path: Path, body: str, *, footnotes: str = "") -> Path:
    """A DOCX with this body of WordprocessingML."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')
        file.writestr(
            "word/styles.xml",
            f'<w:styles xmlns:w="{W}"><w:docDefaults><w:rPrDefault><w:rPr><w:lang w:val="fr-FR"/></w:rPr>'
            '</w:rPrDefault></w:docDefaults><w:style w:styleId="Titre1"><w:name w:val="heading 1"/></w:style>'
            "</w:styles>",
        )
        if footnotes:
            file.writestr("word/footnotes.xml", f'<w:footnotes xmlns:w="{W}">{footnotes}</w:footnotes>')
    return path
