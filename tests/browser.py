"""A notebook in a real browser: JupyterLab or Voila on 127.0.0.1, driven by Playwright with Debian's chromium."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from cases import ROOT

SHOTS = ROOT / "contents" / "play_browser"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
PATIENCE = 120_000  # milliseconds; the machine may be loaded
# anywidget expects its script within two seconds; on a loaded machine it comes later, and works.
HARMLESS = ("ResizeObserver loop", "[anywidget] Failed to initialize model.")


def chromium() -> str:
    """Return the path of chromium, or skip the test with the reason."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright (requirements-dev.txt)")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs chromium: apt-get install chromium")
    return found


def make_project(folder: Path, name: str) -> Path:
    """Make a copy of the project in which a notebook can be run and saved without changing the repository."""
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    notebook = nbformat.read(ROOT / "notebooks" / name, 4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = cell.source.replace("smoke = False", "smoke = True")  # small static figures
    nbformat.write(notebook, folder / "notebooks" / name)
    (folder / "pretrained").symlink_to(ROOT / "pretrained")
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def _settings(home: Path) -> dict[str, str]:
    """Return an environment in which nobody's own settings, kernels or workspaces are seen, and no data set."""
    files = {
        "cfg/labconfig/page_config.json": {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    }
    for path, content in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(json.dumps(content))
    own = {"HOME": home, "JUPYTER_CONFIG_DIR": home / "cfg", "JUPYTER_DATA_DIR": home / "data"}
    own |= {"JUPYTERLAB_SETTINGS_DIR": home / "set", "JUPYTERLAB_WORKSPACES_DIR": home / "ws"}
    own |= {"THAW_DATA": home / "no data", "PYTHONPATH": ROOT / "src", "OMP_NUM_THREADS": 1}
    kept = {key: value for key, value in os.environ.items() if key != "THAW_HEADLESS"}
    return kept | {key: str(value) for key, value in own.items()}


@contextlib.contextmanager
def server(project: Path, app: str = "lab") -> Iterator[str]:
    """Run JupyterLab or Voila on load_and_play of a project; yields the address to open."""
    port, token, home = _free_port(), secrets.token_hex(16), project / "home"
    command = [sys.executable, "-m"]
    if app == "lab":
        command += ["jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
                    f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={project}",
                    "--LabApp.expose_app_in_browser=True",  # for the command that changes the theme
                    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
        address = f"http://127.0.0.1:{port}/lab/tree/notebooks/load_and_play.ipynb?token={token}"
    else:
        command += ["voila", "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}", "notebooks/load_and_play.ipynb"]
        command += VOILA
        address = f"http://127.0.0.1:{port}/"
    environment = _settings(home)
    with open(project / "server.log", "w") as log:
        process = subprocess.Popen(command, env=environment, cwd=project, stdout=log, stderr=subprocess.STDOUT)
    try:
        started = time.monotonic()
        while not _listens(port):
            if process.poll() is not None or time.monotonic() - started > 90:
                pytest.fail(f"the server did not start: {(project / 'server.log').read_text()[-2000:]}")
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


VOILA = ["--progressive_rendering=True", "--show_tracebacks=False"]  # as `make app` does


@contextlib.contextmanager
def browser_page(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """Open a page; on leaving, no error may have come up in it, and nothing outside this machine been asked for."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            yield page
            assert not [error for error in errors if not error.startswith(HARMLESS)], errors
        finally:
            browser.close()


def run_all(page: Any, address: str) -> float:
    """Open a notebook in JupyterLab and start all cells; returns when the page began to open."""
    started = time.monotonic()
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.get_by_text("| Idle").first.wait_for()  # the toolbar's own indicator says so too early
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    return started


def all_ran(page: Any) -> None:
    """Wait until no cell is left to run."""
    busy = "() => ![...document.querySelectorAll('.jp-InputPrompt')].some(e => e.textContent.includes('*'))"
    page.wait_for_function(busy, timeout=PATIENCE)


def shot(page: Any, name: str, element: Any = None) -> None:
    """Save a screenshot in contents/play_browser/."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    (element or page).screenshot(path=str(SHOTS / f"{name}.png"))
