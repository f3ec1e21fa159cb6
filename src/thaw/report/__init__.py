"""Numbers and figures with their origin."""

from thaw.base.extras import need

need("notebooks", "matplotlib", "nbconvert", "papermill", "psutil")
