"""Notebooks are committed with what they showed: nothing a code host cannot show, and only of the code as it is."""

import base64
import io

import nbformat
import pytest
import release
from cases import ROOT
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from thaw.base.errors import ThawError
from thaw.report.notebooks import WIDGET


def picture(size: int) -> str:
    kept = io.BytesIO()
    Image.effect_noise((size, size), 100).convert("RGB").save(kept, "png")
    return base64.b64encode(kept.getvalue()).decode()


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A notebook of two cells, and an executed copy of it with papermill's parameters under contents/."""
    monkeypatch.chdir(tmp_path)
    source = new_notebook(cells=[new_code_cell("n = 1"), new_code_cell("show(n)")])
    (tmp_path / "notebooks").mkdir()
    nbformat.write(source, path := tmp_path / "notebooks/a.ipynb")
    injected = new_code_cell("run = 'x'", metadata={"tags": ["injected-parameters"]}, execution_count=2)
    first, second = (new_code_cell(cell.source, execution_count=3 * i + 1) for i, cell in enumerate(source.cells))
    data = {"image/png": picture(64), "image/jpeg": "x", "text/plain": "<Image>"}
    panel = {WIDGET: {"model_id": "1"}, "text/plain": "Tab()"}
    said = new_output("stream", text=f"written to {ROOT}/contents/x.png\n")
    results = [new_output("execute_result", data=one, execution_count=4) for one in (data, panel)]
    second.outputs = [said, *results]
    executed = new_notebook(cells=[first, injected, second], metadata={"widgets": {"state": 1}, "papermill": {}})
    (tmp_path / "contents/runs/one").mkdir(parents=True)
    nbformat.write(executed, tmp_path / "contents/runs/one/a.ipynb")
    return path


def test_outputs_are_kept_and_neither_widgets_nor_places_of_this_machine(path, monkeypatch, capsys):
    monkeypatch.setattr(release, "project_root", lambda: ROOT)
    release.main()
    found = nbformat.read(path, 4)
    assert [cell.source for cell in found.cells] == ["n = 1", "show(n)"] and not found.metadata.get("widgets")
    assert found.metadata.keep_output and found.metadata.executed == release.digest(found)
    said, image, panel = found.cells[1].outputs
    assert said.text == "written to contents/x.png\n" and set(image.data) == {"image/png", "text/plain"}
    assert Image.open(io.BytesIO(base64.b64decode(image.data["image/png"]))).size == (64, 64)
    assert "live panel" in panel.data["text/html"] and WIDGET not in panel.data
    before = path.read_bytes()
    release.main()
    assert path.read_bytes() == before and "bytes" in capsys.readouterr().out


@pytest.mark.parametrize("mistake", ["edited", "failed", "stopped", "smoke"])
def test_only_a_whole_execution_of_the_code_as_it_stands_is_taken(path, mistake, capsys):
    copy = next((path.parents[1] / "contents").rglob("a.ipynb"))
    executed, before = nbformat.read(copy, 4), path.read_bytes()
    last = executed.cells[-1]
    if mistake == "edited":
        last.source = "show(n + 1)"
    if mistake == "failed":
        last.outputs.append(new_output("error", ename="E", evalue="e", traceback=[]))
    if mistake == "stopped":
        last.execution_count = None
    if mistake == "smoke":
        executed.cells[1].source = "smoke = True"
    nbformat.write(executed, copy)
    release.main()
    assert path.read_bytes() == before and "left as it is" in capsys.readouterr().out


def test_what_is_too_large_or_not_there_is_a_sentence(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(release, "project_root", lambda: ROOT)
    monkeypatch.setattr(release, "MOST", 1000)
    with pytest.raises(ThawError, match="more than 1,000; show less in it"):
        release.main()
    assert path.read_bytes() == before
    with pytest.raises(ThawError, match=r"no executed notebook gone.ipynb"):
        release.main([path.with_name("gone.ipynb").relative_to(path.parent)])
