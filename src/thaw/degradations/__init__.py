"""Degradations D_t: one family a file, each known by name once its file is imported here."""

from thaw.degradations.base import Degradation, build, names, register, registered
from thaw.degradations.blur import Blur
from thaw.degradations.eraser import Eraser
from thaw.degradations.fade import Fade
from thaw.degradations.laws import check_laws
from thaw.degradations.lines import Lines
from thaw.degradations.mask import Mask
from thaw.degradations.morph import Morph
from thaw.degradations.pixelate import Pixelate
from thaw.degradations.scale import Scale
from thaw.degradations.snow import Snow
from thaw.degradations.softened import Softened
from thaw.degradations.zoom import Zoom

__all__ = ["Blur", "Degradation", "Eraser", "Fade", "Lines", "Mask", "Morph", "Pixelate", "Scale", "Snow"]
__all__ += ["Softened", "Zoom", "build", "check_laws", "names", "register", "registered"]
