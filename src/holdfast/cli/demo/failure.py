"""The one way in which the demo fails."""


class DemoFailed(Exception):
    """What did not hold, in words for the demo's last line."""
