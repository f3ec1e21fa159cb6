"""What load_and_play does: plain functions that return a picture, and a live panel for each of them."""

from thaw.base.extras import need

need("notebooks", "anywidget", "ipywidgets", "matplotlib")

from thaw.play.banner import banner
from thaw.play.classify import classify, classify_panel
from thaw.play.compare import compare, compare_panel, epochs_of
from thaw.play.own import destroying, own, own_panel
from thaw.play.picker import example
from thaw.play.restore import restore, restore_panel
from thaw.play.sample import draw, sample_panel, score
from thaw.play.shipped import catalogue, open_model, shipped
from thaw.play.watch import watch, watch_panel

panel = sample_panel

__all__ = [
    "banner",
    "catalogue",
    "classify",
    "classify_panel",
    "compare",
    "compare_panel",
    "destroying",
    "draw",
    "epochs_of",
    "example",
    "open_model",
    "own",
    "own_panel",
    "panel",
    "restore",
    "restore_panel",
    "sample_panel",
    "score",
    "shipped",
    "watch",
    "watch_panel",
]
