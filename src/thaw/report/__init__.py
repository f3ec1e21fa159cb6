"""Numbers and figures with their origin."""

from thaw.base.errors import need

need("notebooks", "matplotlib", "nbconvert", "papermill", "psutil")
