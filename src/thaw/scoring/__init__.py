"""How good is it: feature networks, real images, measures, one protocol.

A measure is a function and a row of `MEASURES` in `thaw.scoring.metrics`. The names below are imported when they are
first used.
"""

import lazy_loader

from thaw.base import need

need("train", "torchmetrics")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
