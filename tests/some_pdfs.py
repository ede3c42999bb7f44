"""Small PDFs with known layouts, made with PyMuPDF, for tests of reading and drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LEFT = "Left column begins here and talks about the lungs. It goes on for several lines so that a column is seen. The pleural space is free of air and of fluid, and the hilum is of usual size."
RIGHT = "Right column begins here and talks about the heart. It also goes on for several lines. The cardiac silhouette is not enlarged, and the great vessels are where they should be."
PARAGRAPH = "This body text stands under the heading and fills the whole width of the page so that no gutter can be seen in it at all."


def two_columns(path: Path, pages: int = 3, rotation: int = 0) -> Path:
    """A heading over the whole width, two columns, a running header and footer, a page number."""
    import pymupdf

    document = pymupdf.open()
    for number in range(1, pages + 1):
        page = document.new_page(width=595, height=842)
        page.insert_text((60, 30), "Manual of Chest Films", fontsize=8)
        page.insert_text((60, 826), f"Clinic edition 2024, page {number}", fontsize=8)
        page.insert_text((300, 826), f"{number}", fontsize=8)
        page.insert_text((60, 90), f"Chapter {number} Reading the film", fontsize=18, fontname="hebo")
        page.insert_textbox((60, 130, 285, 400), LEFT, fontsize=10)
        page.insert_textbox((310, 136, 535, 400), RIGHT, fontsize=10)
        page.set_rotation(rotation)
    document.save(path)
    return path


def turned_page(path: Path, rotation: int) -> Path:
    """A page that is read upright only because its /Rotate turns it, with a box of text at a known place."""
    import pymupdf

    document = pymupdf.open()
    page = document.new_page(width=842, height=595)  # as displayed: landscape
    page.insert_textbox((60, 60, 780, 120), "A heading in landscape", fontsize=20, fontname="hebo")
    page.insert_textbox((60, 140, 780, 300), PARAGRAPH, fontsize=11)
    upright = document.tobytes()
    source = pymupdf.open(stream=upright, filetype="pdf")
    target = pymupdf.open()
    sheet = target.new_page(width=595, height=842) if rotation in (90, 270) else target.new_page(width=842, height=595)
    sheet.show_pdf_page(sheet.rect, source, 0, rotate=rotation)  # drawn turned …
    sheet.set_rotation(rotation)  # … and turned back for the reader
    target.save(path)
    return path


def with_figure(path: Path, caption: str = "Figure 3.2 A chest film with a mass.", **options: Any) -> Path:
    """Text, a picture of 200 × 150 points at (100, 200) with its caption below, an icon, more text."""
    import pymupdf

    pixels = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 80, 60))
    pixels.set_rect(pixels.irect, (30, 90, 160))
    icon = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 20, 20))
    icon.set_rect(icon.irect, (200, 0, 0))
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_textbox((72, 100, 520, 180), PARAGRAPH, fontsize=11)
    page.insert_image((100, 200, 300, 350), pixmap=pixels)
    page.insert_image((500, 60, 515, 75), pixmap=icon)
    page.insert_textbox((100, 358, 400, 400), caption, fontsize=options.get("size", 9))
    page.insert_textbox((72, 420, 520, 500), PARAGRAPH, fontsize=11)
    document.save(path)
    return path


def with_table(path: Path) -> Path:
    """A ruled table of three rows and three columns between two paragraphs."""
    import pymupdf

    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_textbox((72, 100, 520, 160), PARAGRAPH, fontsize=11)
    cells = [["Finding", "Where", "Sign"], ["Effusion", "Pleura", "Blunt angle"], ["Mass", "Lung", "Round opacity"]]
    for r, row in enumerate(cells):
        for c, text in enumerate(row):
            box = pymupdf.Rect(72 + 150 * c, 200 + 30 * r, 72 + 150 * (c + 1), 230 + 30 * r)
            page.draw_rect(box)
            page.insert_text((box.x0 + 5, box.y1 - 10), text, fontsize=11)
    page.insert_textbox((72, 320, 520, 400), PARAGRAPH, fontsize=11)
    document.save(path)
    return path


def with_glossary(path: Path) -> Path:
    """Two pages that set terms in bold, the second with a captioned picture, and a page with a glossary."""
    import pymupdf

    document = pymupdf.open()
    cavity = "space between the two layers that wrap the organs of breathing"
    for number in (1, 2, 3):
        page = document.new_page(width=595, height=842)
        page.insert_text((72, 80), "Glossary" if number == 3 else f"Part {number}", fontsize=14, fontname="hebo")
        for line in range(6):
            page.insert_text((72, 200 + 14 * line), "Plain words that fill the page as a book does.", fontsize=10)
    for page, y, bold, rest in (
        (document[0], 110, "pleural cavity", " lies around each lung."),
        (document[1], 110, "carina", " is the ridge where the windpipe divides."),
        (document[2], 110, "pleural cavity", f" {cavity}"),
        (document[2], 124, "carina", " ridge"),
    ):
        writer = pymupdf.TextWriter(page.rect)
        writer.append((72, y), bold, font=pymupdf.Font("hebo"), fontsize=10)
        writer.append((72 + pymupdf.get_text_length(bold, "hebo", 10), y), rest, font=pymupdf.Font("helv"), fontsize=10)
        writer.write_text(page)
    pixels = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 80, 60))
    pixels.set_rect(pixels.irect, (30, 90, 160))
    document[1].insert_image((72, 320, 272, 470), pixmap=pixels)
    document[1].insert_text((72, 484), "The bronchial tree seen from the front with its branches. (credit: N.)", fontsize=8.5)  # fmt: skip
    document.save(path)
    return path


def scanned(path: Path, rotation: int = 0) -> Path:
    """A page of text, a page that is only a picture of two columns, and one with a large picture of words, uncaptioned."""
    import pymupdf

    source = two_columns(path.with_name("source.pdf"), pages=1)
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_textbox((72, 100, 520, 200), f"{PARAGRAPH} {LEFT} {RIGHT}", fontsize=11)
    with pymupdf.open(source) as drawn:
        pixels = drawn[0].get_pixmap(dpi=150)
        part = drawn[0].get_pixmap(dpi=150, clip=(50, 120, 300, 260))
    page = document.new_page(width=595, height=842)
    page.insert_image(page.rect, pixmap=pixels)
    page.set_rotation(rotation)
    page = document.new_page(width=595, height=842)
    page.insert_textbox((72, 60, 520, 120), PARAGRAPH, fontsize=11)
    page.insert_image((72, 150, 472, 374), pixmap=part)
    page.insert_textbox((72, 600, 520, 660), f"After the picture. {PARAGRAPH}", fontsize=11)
    document.save(path)
    return path
