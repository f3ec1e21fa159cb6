"""Degradations D_t: one family a file, each known by name once its file is imported here."""

from thaw.degradations.base import Degradation, build, names, register
from thaw.degradations.lines import Lines
from thaw.degradations.scale import Scale

__all__ = ["Degradation", "Lines", "Scale", "build", "names", "register"]
