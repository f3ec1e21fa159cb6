"""The one exception whose message is meant for the user."""


class ThawError(ValueError):
    """A bad argument, file or setting; the message is one sentence that names the value and the fix."""
