"""Load and play in a real browser: run all cells, click through every panel, look for what must appear."""

import re
import time

import pytest
from browser import all_ran, browser_page, chromium, make_project, run_all, server, shot

PANELS = ("sample", "watch", "restore", "own", "classify", "compare")


def finish(panel, expected: str) -> None:
    """Wait until a panel says what is expected, and its Stop button is at rest."""
    panel.get_by_text(re.compile(expected)).first.wait_for()
    panel.locator(".thaw-stop[disabled]").wait_for(state="attached")


def choose(panel, control: str, option: str) -> None:
    panel.locator(".widget-dropdown", has_text=control).locator("select").select_option(label=option)


def slide(panel, control: str, key: str, times: int = 1) -> None:
    handle = panel.locator(".widget-slider", has_text=control).locator(".noUi-handle")
    handle.focus()
    for _ in range(times):
        handle.press(key)


def draw_one(page, panel) -> None:
    """Draw a 1 with the mouse."""
    panel.get_by_role("button", name="draw", exact=True).click()
    canvas = panel.locator("canvas.thaw-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 40)
    page.mouse.down()
    for step in range(1, 12):
        page.mouse.move(middle, box["y"] + 40 + 12 * step)
    page.mouse.up()
    panel.get_by_text("centred as MNIST is").wait_for()


def label_colours(page, panel, theme: str) -> list[int]:
    """Return red, green and blue of a panel's labels in a theme of JupyterLab."""
    page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
    page.locator(f"body[data-jp-theme-name='JupyterLab {theme}']").wait_for(state="attached")
    colour = panel.locator(".widget-label").first.evaluate("e => getComputedStyle(e).color")
    return [int(part) for part in re.findall(r"\d+", colour)[:3]]


def press(panel, says: str = "") -> None:
    """Press the button that begins a run, once it says what will be drawn: a click overtakes a slider's last move."""
    panel.locator(".thaw-run", has_text=says).click()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    chromium()
    return make_project(tmp_path_factory.mktemp("play") / "project", "load_and_play.ipynb")


@pytest.mark.slow
def test_every_panel_works_in_jupyterlab(project):
    with server(project) as address, browser_page() as page:
        started = run_all(page, address)
        page.locator(".jp-OutputArea-output img").first.wait_for(state="attached")
        first = time.monotonic() - started
        all_ran(page)
        print(f"first samples after {first:.1f} s, all cells after {time.monotonic() - started:.1f} s")
        panels = {name: page.locator(f".thaw-{name}") for name in PANELS}

        one = panels["sample"]
        slide(one, "count", "ArrowLeft", 2)
        press(one, "Draw 10")
        finish(one, r"10 digits in")
        choose(one, "process", "rows averaged")
        choose(one, "sampler", "Algorithm 2 (cold)")
        one.get_by_text("Algorithm 2 is cold: temperature 0.").wait_for()
        slide(one, "count", "ArrowRight", 3)
        press(one, "Draw 60")
        slide(one, "steps", "ArrowLeft")  # while it draws
        finish(one, r"60 digits in")
        one.get_by_role("button", name="PNG").click()
        one.get_by_text("Saved:").wait_for()
        slide(one, "count", "End")  # long enough to be stopped
        press(one, "Draw 500")
        one.locator(".thaw-stop:not([disabled])").click()
        finish(one, "Stopped")
        assert list((project / "contents/load_and_play").glob("custom_row_*_algorithm2_epoch*_seed0.png"))
        shot(page, "sample", one)

        one = panels["watch"]
        press(one)
        finish(one, r"21 states")
        slide(one, "state", "ArrowRight", 10)
        one.get_by_text("t = 0", exact=True).wait_for()
        shot(page, "watch", one)

        one = panels["restore"]
        draw_one(page, one)
        press(one)
        finish(one, "Restored with row_default_28")
        assert one.get_by_text("SSIM").count() >= 6
        shot(page, "restore", one)

        one = panels["own"]
        press(one)
        one.get_by_text(re.compile("images seen, loss")).wait_for()
        one.locator(".thaw-stop:not([disabled])").click()
        finish(one, "draws as it has learnt so far")
        shot(page, "own", one)

        one = panels["classify"]
        draw_one(page, one)
        press(one)
        finish(one, r"Most likely a 1")
        shot(page, "classify", one)

        one = panels["compare"]
        slide(one, "count", "ArrowLeft", 4)
        press(one)
        finish(one, "10 digits each")
        shot(page, "compare", one)
        assert not page.get_by_text("Traceback").count() and not page.locator("[data-mime-type*=stderr]").count()

        one = panels["sample"]
        one.get_by_text("run all cells again").wait_for()  # a restart is explained
        light, dark = (label_colours(page, one, theme) for theme in ("Light", "Dark"))
        assert max(light) < 150 < min(dark)  # the text is readable in either theme
        shot(page, "dark", one)


@pytest.mark.slow
def test_the_app_shows_panels_and_no_code(project):
    with server(project, "voila") as address, browser_page() as page:
        page.goto(address, wait_until="domcontentloaded")
        one = page.locator(".thaw-sample")
        one.wait_for()
        press(one)
        finish(one, "40 digits in")
        page.locator(".thaw-compare").wait_for(state="attached")
        assert not page.get_by_text("play.sample_panel").count() and not page.get_by_text("Traceback").count()
        shot(page, "app", one)
        one = page.locator(".thaw-classify")
        draw_one(page, one)
        press(one)
        finish(one, "Most likely a 1")
        shot(page, "app_classify", one)
