"""What load_and_play does: plain functions that return a picture, and a live panel for each of them (`panels/`)."""

import lazy_loader

from thaw.base import need

need("notebooks", "anywidget", "ipywidgets", "matplotlib")

from thaw.store import example, open_model, shipped
from thaw.store.catalogue import catalogue

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*__all__, "catalogue", "example", "open_model", "shipped"]
