"""The memory page in a real browser: what a person sees, hears read out, and can do with keys alone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import tests.browser
from mhm_langgraph import cli
from mhm_langgraph.inspect import Timeline, find_phrase, memory_page, memory_timeline
from tests.browser import BrowserMissingError, browser, ensure_browser
from tests.lives import life
from tests.unit.test_inspect import HOSTILE

pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"]),  # the browser's driver listens there
    pytest.mark.xdist_group("browser"),
]

BOOK = Path(__file__).parents[1] / "data" / "moby_dick_ch31-37.txt.gz"
WHALES = life(
    (0, "Ahab hunts the whale."),
    (1, "Starbuck is mate."),
    (0, None),
    (1, "Stubb is second mate.\nFlask is third."),
    (0, "Ahab hunts the white whale, and Starbuck\n dissents."),
    (1, "Flask is third."),
)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    try:
        ensure_browser()
    except BrowserMissingError as error:
        pytest.fail(str(error), pytrace=False)
    with browser(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


class Page:
    """A page in the browser, as a test looks at it."""

    def __init__(self, chrome: Chrome) -> None:
        self.chrome = chrome

    def all(self, selector: str) -> list[Any]:
        return self.chrome.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        return self.chrome.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.one(selector).get_property("textContent"))

    def click(self, selector: str) -> None:
        self.one(selector).click()

    def press(self, *keys: str) -> None:
        """Keys, wherever the focus is."""
        ActionChains(self.chrome).send_keys(*keys).perform()

    def find(self, phrase: str) -> None:
        self.one("#phrase").send_keys(Keys.CONTROL, "a", Keys.NULL, phrase or Keys.BACKSPACE)

    def heads(self) -> list[str]:
        """The text of every head, without what was removed from it."""
        script = """return JSON.stringify(Array.from(document.querySelectorAll('.text'), (box) =>
            Array.from(box.querySelectorAll(':scope > span:not(.quiet), :scope > ins'), (e) => e.textContent)
            .join('')))"""  # as JSON, which can carry half a surrogate pair
        return list(json.loads(self.chrome.execute_script(script)))

    def style(self, selector: str, name: str) -> str:
        return str(self.one(selector).value_of_css_property(name))

    def complaints(self) -> list[str]:
        """What the browser has written to its console."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]  # type: ignore[no-untyped-call]


Open = Callable[..., Page]


@pytest.fixture
def open_page(chrome: Chrome, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of a timeline from a file; at the end, the console must be empty."""
    page = Page(chrome)

    def opened(timeline: Timeline, anchor: str = "", **options: Any) -> Page:
        path = tmp_path / "page.html"
        path.write_text(memory_page(timeline, **options), encoding="utf-8")
        chrome.get("about:blank")
        chrome.get(path.as_uri() + anchor)
        return page

    yield opened
    assert page.complaints() == []


def texts(timeline: Timeline, position: int) -> list[str]:
    return [head["text"] for head in timeline.heads_after(position)]


def where(page: Page) -> str:
    """Which update the page says it shows."""
    found = re.match(r"Update [\d,]*\d of [\d,]*\d", page.text("#origin"))
    assert found
    return found[0]


# ---- stepping


def test_it_opens_at_the_end_and_says_what_the_thread_is(open_page: Open) -> None:
    page = open_page(WHALES)
    assert page.text("h1") == "Memory of thread whales"
    assert page.chrome.title == "Memory of thread whales"
    assert page.text("#facts") == "2 heads · 6 steps · 1 run · the document"
    assert page.heads() == texts(WHALES, 5)
    assert page.text("#runs").startswith("Run 1 · steps 0 to 5QuestionWho?AnswerAhab.")
    assert [where(open_page(WHALES, start=2)), where(open_page(WHALES, "#1"))] == [
        "Update 3 of 6",
        "Update 2 of 6",
    ]


def test_every_update_is_shown_with_its_head_span_and_source(open_page: Open) -> None:
    page = open_page(WHALES, start=0)
    assert page.text("#what") == (
        "Step 0: head 0 rewritten from 0–10 of the document. 4 words came, 0 went: 100% changed."
    )
    for position, update in enumerate(WHALES.updates):
        assert where(page) == f"Update {position + 1} of 6"
        assert page.heads() == texts(WHALES, position)
        assert page.text(".head.now h2") == f"Head {update.head}"
        assert page.text(".head.now .badge") == ("empty reply" if update.kept else "rewritten")
        assert page.text("#origin code") == update.checkpoint_id
        page.press(Keys.ARROW_RIGHT)
    assert page.text("#what").startswith("Step 5: head 1 rewritten from 50–60 of the document.")


def test_buttons_keys_slider_and_timeline_step(open_page: Open) -> None:
    page = open_page(WHALES)

    def after(action: Callable[[], None]) -> str:
        action()
        return where(page).split()[1]

    assert after(lambda: page.click("#first")) == "1"
    assert after(lambda: page.click("#next")) == "2"
    assert after(lambda: page.click("#previous")) == "1"
    assert after(lambda: page.click("#last")) == "6"
    assert after(lambda: page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)) == "4"
    assert after(lambda: page.press(Keys.HOME)) == "1"
    assert after(lambda: page.press(Keys.ARROW_LEFT)) == "1"
    assert after(lambda: page.press(Keys.END)) == "6"
    assert after(lambda: page.one("#slider").send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)) == "4"
    lanes = page.one("#lanes")
    third = -lanes.size["width"] // 2 + lanes.size["width"] * 5 // 12
    click = ActionChains(page.chrome).move_to_element_with_offset(lanes, third, 5).click()
    assert after(click.perform) == "3"
    assert not page.one("#first").get_property("disabled")
    assert after(lambda: page.click("#first")) == "1"
    assert page.one("#first").get_property("disabled")
    assert page.one("#previous").get_property("disabled")
    address = "return location.hash"  # noted with some delay
    WebDriverWait(page.chrome, 10).until(lambda chrome: chrome.execute_script(address) == "#0")


def test_a_head_s_own_life_can_be_followed(open_page: Open) -> None:
    page = open_page(WHALES, start=0)
    steps = []
    for _ in range(2):
        page.click(".head:nth-child(1) button[aria-label='Next update of head 0']")
        steps.append(where(page))
    assert steps == ["Update 3 of 6", "Update 5 of 6"]
    assert page.chrome.switch_to.active_element.get_attribute("aria-label") == "Next update of head 0" or (
        page.one(".head:nth-child(1) button[aria-label^=Next]").get_property("disabled")
    )
    page.click(".head:nth-child(2) button[aria-label='Previous update of head 1']")
    assert where(page) == "Update 4 of 6"


def test_what_changed_is_marked_by_more_than_colour(open_page: Open) -> None:
    page = open_page(WHALES, start=3)
    assert [each.text.strip() for each in page.all(".head:nth-child(2) del")] == ["Starbuck"]
    assert page.text(".head:nth-child(2) ins:nth-of-type(1)").strip() == "Stubb"
    assert page.all(".head:nth-child(1) ins, .head:nth-child(1) del") == []
    assert "underline" in page.style("ins", "text-decoration-line")
    assert "line-through" in page.style("del", "text-decoration-line")
    page.click("#removed")
    assert not page.one("del").is_displayed()
    assert page.one("ins").is_displayed()


def test_the_timeline_draws_one_bar_an_update(open_page: Open) -> None:
    page = open_page(WHALES)
    bars = page.all("#drawing .bar")
    assert len(bars) == 6
    assert len(page.all("#drawing .bar.kept")) == 1
    assert page.one("#legend-kept").is_displayed()
    assert not page.one("#legend-hand").is_displayed()
    heights = [float(bar.get_attribute("height")) for bar in bars]
    assert heights[0] == heights[1] > heights[4] > heights[2]


# ---- searching


@pytest.mark.parametrize(
    "phrase", ["starbuck", "STARBUCK DISSENTS", "is third.", "mate", "is .* mate", "Queequeg"]
)
def test_a_phrase_is_found_where_the_timeline_says(open_page: Open, phrase: str) -> None:
    page = open_page(WHALES, start=0)
    page.find(phrase)
    expected = find_phrase(WHALES, phrase)
    what = {True: "▲ came into", False: "▽ went from"}
    assert [button.get_property("textContent") for button in page.all("#events button")] == [
        f"{what[each.entered]} head {each.update.head} at step {each.update.step}" for each in expected
    ]
    assert page.text("#marks") == "".join("▲" if each.entered else "▽" for each in expected)
    visited = []
    while page.one("#later").is_enabled():
        page.click("#later")
        visited.append(int(where(page).split()[1]) - 1)
    assert visited == sorted({each.update.step for each in expected} - {0})
    if not expected:
        assert page.text("#found") == f"“{phrase}” was never in memory."


def test_a_phrase_is_marked_in_every_head_and_told_in_words(open_page: Open) -> None:
    page = open_page(WHALES)
    page.find("starbuck dissents")
    assert [each.get_property("textContent") for each in page.all("mark")] == ["Starbuck\n dissents"]
    assert (
        page.text("#found")
        == "“starbuck dissents” is in head 0 after this step. It came 1 time and never went."
    )
    page.find("mate")
    assert page.text("#found") == "“mate” is in no head after this step. It came 1 time and went 1 time."
    assert [each.get_property("textContent") for each in page.all("del mark")] == ["mate"]
    strips = page.all("#drawing rect.held")
    assert [(s.get_attribute("x"), s.get_attribute("width")) for s in strips] == [("1", "4")]
    page.find("")
    assert (page.all("mark"), page.all("#drawing rect.held"), page.text("#found")) == ([], [], "")


def test_comings_and_goings_are_visited_by_keys(open_page: Open) -> None:
    page = open_page(WHALES, start=0)
    page.press("/")
    page.press("starbuck")
    assert page.one("#phrase").get_property("value") == "starbuck"
    seen = []
    for _ in range(3):
        page.press(Keys.ENTER)
        seen.append(where(page))
    assert seen == ["Update 2 of 6", "Update 4 of 6", "Update 5 of 6"]
    ActionChains(page.chrome).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    assert where(page) == "Update 4 of 6"
    page.press(Keys.ARROW_LEFT)  # in the field, arrows move the caret
    assert where(page) == "Update 4 of 6"
    page.press(Keys.ESCAPE, Keys.ARROW_LEFT)
    assert where(page) == "Update 3 of 6"


# ---- untrusted texts


def test_hostile_texts_are_shown_and_do_nothing(open_page: Open) -> None:
    writes = [(index % 2, text) for index, text in enumerate(HOSTILE)]
    timeline = life(*writes, thread=HOSTILE[0], source=HOSTILE[1])
    page = open_page(timeline, start=0)
    for position in range(len(HOSTILE)):
        assert page.heads() == texts(timeline, position)
        page.press(Keys.ARROW_RIGHT)
    for phrase in ("<script>", "[", "\\", "(a+)+$", '"><img src=x onerror=alert(1)>'):
        page.find(phrase)
        assert phrase in page.text("#found")
    assert page.chrome.execute_script("return window.hacked") is None
    assert page.all("img, iframe, b, object, link, a") == []
    assert len(page.all("script")) == 2
    assert page.text("#thread") == HOSTILE[0]
    assert HOSTILE[1] in page.text("#runs")


def test_the_browser_itself_refuses_markup_and_requests(chrome: Chrome, tmp_path: Path) -> None:
    """Were a text ever to get out of the data, the page's policy would stop it."""
    path = tmp_path / "page.html"
    broken = '<script>window.hacked = 1</script><img src="http://127.0.0.1:9/x" onerror="window.hacked = 2">'
    path.write_text(memory_page(WHALES).replace("<main", broken + "<main"), encoding="utf-8")
    chrome.get(path.as_uri())
    page = Page(chrome)
    assert chrome.execute_script("return window.hacked") is None
    assert page.heads() == texts(WHALES, 5)
    refused = " ".join(page.complaints())
    assert refused.count("violates the following Content Security Policy directive") >= 3
    with pytest.raises(Exception, match="TrustedHTML"):
        chrome.execute_script("document.body.innerHTML = '<p>'")
    request = "fetch('http://127.0.0.1:9/').then(() => arguments[0]('sent'), () => arguments[0]('refused'))"
    assert chrome.execute_async_script(request) == "refused"
    assert "connect-src" in " ".join(page.complaints())


@contextmanager
def served(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """A loopback server of one page, and the list of what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/page", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_page_asks_for_nothing(chrome: Chrome) -> None:
    with served(memory_page(WHALES).encode()) as (address, asked):
        chrome.get(address)
        page = Page(chrome)
        page.find("whale")
        page.press(Keys.ESCAPE, Keys.HOME)
        assert where(page) == "Update 1 of 6"
        assert chrome.execute_script("return performance.getEntriesByType('resource').length") == 0
        chrome.get("about:blank")
    assert asked == ["/page"]


# ---- how it looks, and for whom


def test_it_has_a_light_and_a_dark_scheme(open_page: Open) -> None:
    page = open_page(WHALES, start=3)

    def brightness(selector: str, name: str) -> float:
        numbers = page.style(selector, name).partition("(")[2].rstrip(")").split(",")[:3]
        return sum(map(float, numbers)) / 3

    for scheme, darker in (("light", "color"), ("dark", "background-color")):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for selector in ("body", "ins", "del"):
            both = {name: brightness(selector, name) for name in ("color", "background-color")}
            assert min(both, key=lambda name: both[name]) == darker
            assert abs(both["color"] - both["background-color"]) > 90
    page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_everything_can_be_reached_and_has_a_name(open_page: Open) -> None:
    page = open_page(WHALES, start=2)
    names = []
    for _ in range(25):
        page.press(Keys.TAB)
        focused = page.chrome.switch_to.active_element
        if focused.tag_name == "body":
            break
        names.append(focused.accessible_name)
    assert all(names)
    wanted = {
        "Update",
        "First update",
        "Next update",
        "Find a phrase",
        "Show removed words",
        "Text of head 0",
    }
    assert wanted < set(names)
    assert page.one("#what").get_attribute("aria-live") == "polite"
    assert page.one("#slider").get_attribute("aria-valuetext") == page.text("#what")


@pytest.mark.parametrize("width", [380, 800, 1400])
def test_it_fits_the_window(open_page: Open, width: int) -> None:
    wordless = "unbroken" * 80
    page = open_page(life((0, wordless), (1, "x"), (2, "y"), heads=3, thread=wordless, source=wordless))
    page.chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    page.find("unbroken")
    wide = page.chrome.execute_script("return document.documentElement.scrollWidth - innerWidth")
    page.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 0


# ---- lives short and long


def test_a_life_that_has_not_begun(open_page: Open) -> None:
    page = open_page(life())
    assert page.one("#nothing").is_displayed()
    assert not page.one("#panel").is_displayed()


def test_a_life_of_thousands_of_steps(open_page: Open) -> None:
    lines = [
        f"Line {number} of what a head may hold, more or less as long as a sentence is."
        for number in range(16)
    ]
    writes = [
        (step % 8, "\n".join([*lines[step % 10 :], f"Step {step} wrote this."])) for step in range(2000)
    ]
    timeline = life(*writes, heads=8)
    page = open_page(timeline)
    assert page.heads() == texts(timeline, 1999)
    page.find("step 1200 wrote")
    assert page.text("#marks") == "▲▽"
    page.click("#earlier")
    assert where(page) == "Update 1,209 of 2,000"
    page.press(Keys.ESCAPE, Keys.HOME)
    assert page.heads() == texts(timeline, 0)
    ticks = [tick.text for tick in page.all("#axis span")]
    assert ticks[:3] == ["0", "200", "400"]


def test_of_many_heads_the_one_that_changed_is_in_sight(open_page: Open) -> None:
    for heads in (10, 40):
        page = open_page(life(*[(head, "A long line. " * 90) for head in range(heads)], heads=heads), start=0)
        page.press(Keys.END)
        top = "return document.querySelector('.head.now').getBoundingClientRect().top / innerHeight"
        assert 0 < page.chrome.execute_script(top) < 1
        assert page.text(".head.now h2") == f"Head {heads - 1}"


def test_from_a_book_to_the_page(chrome: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mhm ask` reads it, `mhm inspect` writes the page, a person steps through it."""
    monkeypatch.chdir(tmp_path)
    thread = ["--db", "memory.sqlite", "--thread", "whales"]
    small = ["--chunk-tokens", "1000", "--head-tokens", "128"]
    assert cli.main(["ask", str(BOOK), "-q", "Who commands the Pequod?", *small, *thread]) == 0
    assert cli.main(["inspect", *thread, "--html", "page.html"]) == 0
    with SqliteSaver.from_conn_string("memory.sqlite") as saver:
        timeline = memory_timeline(saver, "whales")
    page = Page(chrome)
    chrome.get((tmp_path / "page.html").as_uri())
    page.press(Keys.HOME)
    for position in range(len(timeline.updates)):
        assert page.heads() == texts(timeline, position)
        page.press(Keys.ARROW_RIGHT)
    page.find("Ahab")
    assert len(page.all("#events button")) == len(find_phrase(timeline, "Ahab")) > 0
    assert "Who commands the Pequod?" in page.text("#runs")
    assert page.complaints() == []


# ---- the browser


def test_without_a_browser_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BrowserMissingError, match="apt-get install -y chromium chromium-driver"):
        ensure_browser()


def test_a_missing_browser_is_installed_by_apt_get(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(
        "shutil.which", lambda name: f"/bin/{name}" if len(ran) > 1 or name == "apt-get" else None
    )

    def run(command: list[str], **_: Any) -> Any:
        ran.append(command)
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr(tests.browser.subprocess, "run", run)
    assert ensure_browser() == ("/bin/chromium", "/bin/chromedriver")
    assert [command[2] for command in ran] == ["update", "install"]
    assert ran[1][-2:] == ["chromium", "chromium-driver"]
