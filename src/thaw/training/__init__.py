"""How it learns."""

from thaw.base.extras import need

need("train", "accelerate", "torchmetrics")
