"""How it learns."""

import lazy_loader

from thaw.base import need

need("train", "accelerate", "torchmetrics")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
