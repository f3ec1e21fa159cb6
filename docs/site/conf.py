"""Sphinx's settings. The pages ask nothing of any network: fonts are the system's, formulas are MathML."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from pydantic import BaseModel

import thaw

project, author, version = "Thaw", "The Thaw authors", thaw.__version__
copyright = "The Thaw authors, MIT licence"  # noqa: A001, a name of Sphinx's
extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
include_patterns = ["*.md", "docs/*.md", "notebooks/*.ipynb", "pretrained/README.md", "benchmarks/recipe.md"]

html_theme, html_title, html_baseurl = "furo", "Thaw", ""
html_static_path, html_css_files = ["static"], ["thaw.css"]
html_copy_source = html_show_sphinx = False
html_math_renderer = "mathml"
pygments_style, pygments_dark_style, highlight_language = "friendly", "monokai", "none"

nb_execution_mode, nb_merge_streams, nb_ipywidgets_js = "off", True, {}
myst_enable_extensions, myst_heading_anchors = ["colon_fence", "dollarmath"], 3

napoleon_use_ivar = True
autodoc_typehints, autodoc_member_order, python_use_unqualified_type_names = "description", "groupwise", True


def describe(app, what, name, thing, options, lines):
    """Set what docstrings quote in `...` as code; add the fields of a settings class, with their defaults.

    Of a module its first sentence is shown; of the package nothing, as the page has an introduction of its own.
    """
    if what == "module":
        del lines[0 if name == "thaw" else lines.index("") if "" in lines else len(lines) :]
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``\\ ", line) for line in lines]  # also before a plural's s
    if isinstance(thing, type) and issubclass(thing, BaseModel):
        for field, about in thing.model_fields.items():
            default = "" if about.is_required() else f" (``{about.get_default(call_default_factory=True)!r}``)"
            lines += ["", f"``{field}``{default}", f"   {about.description or ''}"]


def sign(app, what, name, thing, options, signature, result):
    """Leave out the settings of a settings class, which are all described below it."""
    return ("(**settings)", result) if isinstance(thing, type) and issubclass(thing, BaseModel) else None


def in_line(translator, node):
    """Write a formula of a sentence as MathML, which browsers draw themselves."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def displayed(translator, node):
    """Write a formula on a line of its own."""
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    """Connect what is above."""
    app.connect("autodoc-process-docstring", describe, priority=400)  # before napoleon, which writes roles
    app.connect("autodoc-process-signature", sign)
    app.add_html_math_renderer("mathml", (in_line, None), (displayed, None))
