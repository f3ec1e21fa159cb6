"""How good is it: feature networks, real images, measures, one protocol."""

from thaw.base.extras import need

need("train", "torchmetrics")
