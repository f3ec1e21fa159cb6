"""Building the report: what is wrong stops it in one sentence, and the same source gives the same pages."""

import json
import shutil

import paper
import pytest

from thaw.base.errors import ThawError
from thaw.base.files import write_json
from thaw.report import results

needs_latex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="needs latexmk")
OLD, NEW = "a" * 64, "b" * 64
PICTURE = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\nIDATx"
    b"\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
)


@pytest.fixture
def project(tmp_path):
    """A paper of one number and one figure, both made with the weights that are shipped."""
    write_json(tmp_path / "pretrained/MANIFEST.json", {"hot.pth": {"sha256": NEW}})
    record(tmp_path, NEW)
    (tmp_path / "Plots/digits.png").write_bytes(PICTURE)
    write_json(tmp_path / "Plots/digits.png.json", {"notebook": "01_ddpm", "weights": {"hot.pth": NEW}})
    (tmp_path / "Report").mkdir()
    return tmp_path


def record(project, digest: str) -> None:
    """Record the number hot.fid as made with these weights."""
    results.record(
        {"hot.fid": (0.51, ".2f")}, {"notebook": "01_ddpm", "weights": {"hot.pth": digest}}, project / "Plots"
    )


def build(project, body: str):
    """Build a paper that says `body`."""
    (project / "Report/report.tex").write_text(
        "\\pdfinfoomitdate=1\\pdfsuppressptexinfo=-1\\pdftrailerid{}\n\\documentclass{article}\\usepackage{graphicx}"
        "\\graphicspath{{../Plots/}}\\input{numbers}\n\\begin{document}" + body + "\\end{document}\n"
    )
    return paper.build_report(project / "Report", project / "Plots", project / "pretrained")


GOOD = r"Hot: \val{hot.fid}. \includegraphics{digits.png}"


@needs_latex
def test_the_same_source_gives_the_same_file(project):
    first = build(project, GOOD).read_bytes()
    shutil.rmtree(project / "Report")
    (project / "Report").mkdir()
    assert build(project, GOOD).read_bytes() == first


@pytest.mark.slow
@needs_latex
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (r"\val{cold.fid}", "the number 'cold.fid' is not in Plots/numbers.json"),
        (r"see \ref{fig:nothing}", "the reference 'fig:nothing' is undefined"),
        (r"\section{A}\label{a}\section{B}\label{a}", "the label 'a' is defined twice"),
        (r"\undefinedcommand", "Undefined control sequence"),
        (r"\input{nothing}", "cannot find the file"),
    ],
)
def test_mistakes_stop_the_build_in_one_sentence_and_leave_no_pdf(project, body, said):
    build(project, GOOD)
    with pytest.raises(ThawError) as error:
        build(project, body)
    assert said in str(error.value) and "\n" not in str(error.value) and "report.tex" in str(error.value)
    assert not (project / "Report/report.pdf").exists()


@needs_latex
def test_an_undefined_citation_stops_the_build(project):
    (project / "Report/refs.bib").write_text("@misc{known, title = {T}, author = {A}, year = {2020}}\n")
    cite = r"\usepackage{natbib}\begin{document}\citep{known} \citep{unknown}"
    cite += r"\bibliographystyle{plainnat}\bibliography{refs}"
    with pytest.raises(ThawError, match=r"the citation 'unknown' is not in refs.bib"):
        (project / "Report/report.tex").write_text(rf"\documentclass{{article}}{cite}\end{{document}}")
        paper.build_report(project / "Report", project / "Plots", project / "pretrained")


@needs_latex
def test_a_number_that_is_older_than_its_weights_stops_the_build_where_it_is_used(project):
    record(project, OLD)
    with pytest.raises(ThawError, match=r"'hot.fid' is older than its weights hot.pth; run the notebook 01_ddpm again"):
        build(project, GOOD)
    build(project, r"nothing of it \includegraphics{digits.png}")


@needs_latex
def test_a_checkpoint_s_number_belongs_to_the_weights_that_were_exported_from_it(project):
    record(project, OLD)
    write_json(project / "pretrained/MANIFEST.json", {"hot.pth": {"sha256": NEW, "checkpoint": OLD}})
    assert build(project, GOOD).is_file()


@pytest.mark.skipif(shutil.which("latexmk") is None, reason="needs latexmk")
@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ({"notebook": "01_ddpm", "weights": {"hot.pth": OLD}}, "figure digits.png is older than its weights hot.pth"),
        ({"script": "draw.py", "weights": {"gone.pth": NEW}}, "gone.pth, which is not in pretrained/MANIFEST.json"),
        (None, "digits.png.json, which tells where the figure comes from, is missing"),
    ],
)
def test_a_figure_without_origin_or_older_than_its_weights_stops_the_build(project, origin, said):
    path = project / "Plots/digits.png.json"
    path.unlink() if origin is None else path.write_text(json.dumps(origin))
    with pytest.raises(ThawError, match=said):
        build(project, GOOD)


def test_a_figure_in_a_comment_is_no_figure(tmp_path):
    (tmp_path / "a.tex").write_text(
        "\\includegraphics[width=2in]{a.png}% \\includegraphics{b.png}\n50\\% \\includegraphics{c.pdf}"
    )
    assert paper.figures_of(tmp_path / "a.tex") == ["a.png", "c.pdf"]
