"""How good is it: feature networks, real images, measures, one protocol."""
