"""Where results come from: the weights behind each number and figure."""

from pathlib import Path

from thaw.base.files import sha256
from thaw.model import Model
from thaw.scoring import Judge, judge_path
from thaw.scoring.samples import weights_digest


def weights_of(*used: Model | Judge) -> dict[str, str]:
    """Return the fingerprints of weights, for the origin of a result: file name in `pretrained/` -> SHA-256.

    Args:
        used: models from `thaw.load_model`, and shipped feature networks. A model of a run directory goes by the name
            that `thaw export` would give it, and by the digest of its checkpoint, which the manifest then holds too.

    Raises:
        ThawError: for a model that was not loaded from a file.
    """
    found = {}
    for one in used:
        if isinstance(one, Judge):
            path = judge_path(one.data)
            found[path.name] = sha256(path)
        else:
            name = Path(one.info["file"]).name if "sha256" in one.info else one.config.release_name(one.epoch)
            found[name] = weights_digest(one)
    return dict(sorted(found.items()))
