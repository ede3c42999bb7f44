"""The web page in a real headless Chromium: an upload, the stages, a citation with its region, what is refused; nothing asked of elsewhere."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image
from running import QUESTION, chest, running

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here; on Debian: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, url):
    """Opens the page at an address; at the end nothing may have been asked of another host and no script may have failed."""
    outside, faults, pages = [], [], []

    def go(address=url, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True)
        page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else outside.append(r.url))
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
        page.goto(address)
        pages.append(page)
        return page

    yield go
    for page in pages:
        page.close()
    assert not outside and not faults


def asked(page, question=QUESTION):
    page.fill("#question", question)
    page.click("#send")
    page.wait_for_selector(".turn.done", timeout=30_000)


def test_a_question_waits_for_the_images_that_are_being_read(opened, url):
    page = opened()
    with page.expect_request(f"{url}/v1/answer") as sent:
        page.set_input_files("#file", str(chest()))
        page.fill("#question", QUESTION)
        page.click("#send")
    page.wait_for_selector(".turn.done", timeout=30_000)
    assert page.locator("#images li").count() == 1
    assert "the file says" in page.locator(".turn .route").inner_text(), sent.value.url
    assert page.locator("#form").evaluate("form => form.scrollWidth <= form.clientWidth")


def test_a_picture_that_cannot_be_read_is_not_left_out_of_a_question_unasked(opened, tmp_path):
    broken = tmp_path / "x.dcm"
    broken.write_bytes(b"no picture")
    page, held = opened(), []
    page.route("**/v1/preview", lambda route: held.append(route))
    with page.expect_request("**/v1/preview"):
        page.set_input_files("#file", str(broken))
    page.fill("#question", QUESTION)
    page.click("#send")
    held[0].continue_()
    page.locator("#problem", has_text="x.dcm").wait_for()
    assert not page.locator(".turn").count() and page.locator("#send").is_enabled()


def test_a_follow_up_leans_on_all_that_was_asked(opened, url):
    page = opened()
    for n, question in enumerate(
        ("Is there a left-sided pleural effusion?", "and on the right?", "What causes it?"), 1
    ):
        with page.expect_request(f"{url}/v1/answer") as sent:
            page.fill("#question", question)
            page.click("#send")
        page.wait_for_selector(f".turn.done:nth-of-type({n})", timeout=30_000)
    assert "Is there a right pleural effusion?" in sent.value.post_data
    page.fill("#question", "How do you know?")
    page.click("#send")
    page.wait_for_selector(".turn.done:nth-of-type(4)", timeout=30_000)
    why, _, follow_up, first = (one.inner_text() for one in page.locator(".turn").all())
    assert "Asked as: Is there a right pleural effusion?" in follow_up
    assert "Asked as" not in first + why


def test_a_film_is_asked_about_and_a_citation_shows_its_region(opened):
    page = opened()
    page.locator("#about", has_text="served").wait_for()
    page.set_input_files("#file", str(chest()))
    page.wait_for_selector("#images li")
    assert page.locator("#window").is_visible() and page.locator("#shown").is_visible()
    page.evaluate(
        "new MutationObserver((all) => all.forEach((one) => one.addedNodes.forEach((n) => (window.seen ??= []).push(n.textContent))))"
        ".observe(document.querySelector('#talk'), {childList: true, subtree: true})"
    )
    asked(page)
    stages = page.evaluate("window.seen.join('|')")
    assert "at work" in stages and "chest-xray" in stages and "lexical" in stages and "kept" in stages
    assert page.locator(".verdict").inner_text().strip() == "Answered from evidence"
    chips = page.locator("a.chip")
    cards = {card.locator(".key").inner_text(): card for card in page.locator("#evidence .card").all()}
    key = next(name for name, card in cards.items() if card.locator("img").count() and "primer" in card.inner_text())
    chips.filter(has_text=key).first.click()
    shown = page.locator("#evidence .card.hit")
    assert shown.locator(".key").inner_text() == key and shown.locator("mark").count()
    assert shown.locator(".zoom").get_attribute("open") is not None
    assert shown.evaluate("card => card === document.activeElement")
    # the marked region is tinted: the outline's colour is there, and inside it words
    red = shown.locator("img").evaluate(
        """img => { const c = document.createElement('canvas'); c.width = img.naturalWidth; c.height = img.naturalHeight;
        const g = c.getContext('2d'); g.drawImage(img, 0, 0); const d = g.getImageData(0, 0, c.width, c.height).data; let n = 0;
        for (let i = 0; i < d.length; i += 4) if (d[i] > 180 && d[i + 1] < 110 && d[i + 2] < 90) n++; return n; }"""
    )
    assert red > 300


def test_the_region_lies_on_the_words_that_are_quoted(url, rag):
    """What the page draws is what the citation says; that lies over the quoted words in the PDF itself."""
    import pymupdf

    from medrag.client import Client

    with Client(url) as client:
        cited = next(one for one in client.answer(None, QUESTION)["citations"] if one["doc"] == "primer:primer")
    source = rag.store.items.get([cited["item"]])[0].source
    with pymupdf.open(source) as document:
        text = " ".join(
            document[cited["page"] - 1].get_textbox(pymupdf.Rect(box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1))
            for box in cited["boxes"]
        )
    assert "".join(cited["quote"].split()) in "".join(text.split())


def test_answers_are_saved_as_html_and_json(opened):
    page = opened()
    asked(page)
    for name in ("HTML", "JSON"):
        with page.expect_download() as saved:
            page.get_by_role("button", name=f"Save as {name}").click()
        text = saved.value.path().read_text(encoding="utf-8")
        assert QUESTION in text and ("E1" in text)


def test_a_broken_file_is_one_clear_line_and_the_page_goes_on(opened, tmp_path):
    (tmp_path / "broken.dcm").write_bytes(b"not a film")
    page = opened()
    page.set_input_files("#file", [str(tmp_path / "broken.dcm"), str(chest())])
    page.wait_for_selector("#images li")
    problem = page.inner_text("#problem")
    assert problem.startswith("broken.dcm: the image") and "\n" not in problem.strip()
    assert page.locator("#images li").count() == 1
    page.locator("#images .gone").click()
    assert page.locator("#images li").count() == 0 and page.locator("#window").is_hidden()
    page.click("#send")
    assert "Write a question" in page.inner_text("#problem")
    asked(page)


def test_window_zoom_and_pan_by_keyboard(opened):
    page = opened()
    page.set_input_files("#file", str(chest()))
    page.wait_for_selector("#images li")
    before = page.get_attribute("#shown", "src")
    page.focus("#width")
    with page.expect_response("**/v1/preview"):
        page.keyboard.press("Home")
    page.locator(f'#shown:not([src="{before}"])').wait_for()
    page.focus("#stage")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    style = page.get_attribute("#shown", "style")
    assert "scale(1.5" in style and "translate(30px" in style
    page.keyboard.press("0")
    assert "scale(1)" in page.get_attribute("#shown", "style")


def test_the_index_is_looked_through_and_reports_are_shown(opened, rag, tmp_path):
    (tmp_path / "gain.html").write_text(
        "<!DOCTYPE html><title>Gain</title><p id='x'>a gain of 3 points</p>", encoding="utf-8"
    )
    with running(rag, reports=tmp_path) as address:
        page = opened(address)
        page.focus("#t-ask")
        page.keyboard.press("ArrowRight")
        assert page.locator("#index").is_visible() and page.locator("#ask").is_hidden()
        page.locator("#counts", has_text="reports").wait_for()
        page.fill("#words", "pleural effusion")
        page.keyboard.press("Enter")
        page.wait_for_selector("#hits li")
        page.locator("#hits li button").first.click()
        page.wait_for_selector("#hits li img")
        page.click("#t-eval")
        page.get_by_role("button", name="gain.html").click()
        page.frame_locator("#report").locator("#x").wait_for()


def test_a_report_that_is_gone_is_told(opened, rag, tmp_path):
    (tmp_path / "gain.html").write_text("<!DOCTYPE html><title>Gain</title>", encoding="utf-8")
    with running(rag, reports=tmp_path) as address:
        page = opened(address)
        page.click("#t-eval")
        page.get_by_role("button", name="gain.html").wait_for()
        (tmp_path / "gain.html").unlink()
        page.get_by_role("button", name="gain.html").click()
        page.locator("#report-problem", has_text="no such report").wait_for()


def test_the_image_that_is_shown_stays_when_one_before_it_is_taken_out(opened, tmp_path):
    films = [tmp_path / f"{name}.png" for name in "abc"]
    for n, film in enumerate(films):
        Image.new("L", (32, 32), 60 * n).save(film)
    page = opened()
    page.set_input_files("#file", [str(film) for film in films])
    page.locator("#images li").nth(2).wait_for()
    page.locator("#images .pick").nth(1).click()
    page.locator("#images .gone").nth(0).click()
    assert page.get_attribute("#shown", "alt") == "b.png"
    page.locator("#images .gone").nth(1).click()
    assert page.get_attribute("#shown", "alt") == "b.png"
    page.locator("#images .gone").nth(0).click()
    assert page.locator("#shown").is_hidden()


def test_a_finger_scrolls_past_an_image_that_is_not_zoomed(opened):
    page = opened(width=390)
    page.set_input_files("#file", str(chest()))
    page.wait_for_selector("#images li")
    touch = "getComputedStyle(document.querySelector('#stage')).touchAction"
    assert "pan-y" in page.evaluate(touch)
    page.click('[data-zoom="1.25"]')
    assert page.evaluate(touch) == "none"
    page.click('[data-zoom="0"]')
    assert "pan-y" in page.evaluate(touch)


def test_a_guarded_server_asks_for_its_token(opened, rag):
    token = "correct-horse-battery"
    with running(rag, tokens=(token,)) as address:
        page = opened(address)
        page.locator("#about", has_text="Enter the token of this server.").wait_for()
        assert page.locator("#key").is_visible() and page.locator(".turn.done").count() == 0
        page.fill("#token", "wrong")
        page.click("#key button")
        page.locator("#key-problem", has_text="does not know that token").wait_for()
        page.fill("#token", token)
        page.click("#key button")
        page.wait_for_selector("#key", state="hidden")
        asked(page)
        assert page.locator(".turn.done").count() == 1


def test_a_page_that_was_opened_before_the_server_asked_for_tokens_says_so(opened):
    page = opened()
    page.locator("#about", has_text="served").wait_for()
    page.route("**/v1/answer", lambda route: route.fulfill(status=401, json={}))
    page.fill("#question", QUESTION)
    page.click("#send")
    page.locator("#problem", has_text="asks for a token now").wait_for()


def test_what_an_index_without_a_description_is_searched_by_begins_with_no_dot(opened):
    page = opened()
    facts = {
        "name": "bare",
        "model": "extractive",
        "private": False,
        "about": "",
        "retrievers": ["lexical"],
        "counts": {},
    }
    page.route("**/v1/index", lambda route: route.fulfill(json=facts))
    page.reload()
    page.locator("#about", has_text="bare").wait_for()
    assert page.locator("#index-about").text_content() == "searched by lexical"


def test_the_search_loop_and_stopping_it(opened):
    page = opened()
    page.check("#agent")
    asked(page)
    assert page.locator("summary", has_text="Steps").count() == 1


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_and_is_accessible(opened, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(width=width, scheme=scheme)
    page.set_input_files("#file", str(chest()))
    page.wait_for_selector("#images li")
    asked(page)
    page.locator("a.chip").first.click()
    for tab in ("#t-ask", "#t-index", "#t-eval"):
        page.click(tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert not serious
