"""A study of one's own degradation: from a file that registers one to a paper.

`make_plan` says what is done within the time, `run` does it, stage by stage and resumable, and leaves the paper.
"""

from thaw.base import need

need("notebooks", "matplotlib", "nbconvert", "papermill", "psutil")

from thaw.studies.plan import Plan as Plan  # noqa: E402  # what is missing is told before
from thaw.studies.plan import make_plan as make_plan  # noqa: E402
from thaw.studies.running import Study as Study  # noqa: E402
