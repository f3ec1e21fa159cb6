"""Numbers and figures with their origin."""

from thaw.base import need

need("notebooks", "matplotlib", "nbconvert", "papermill", "psutil")
