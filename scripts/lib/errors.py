"""The one exception that reaches the user: a line that says what to do, and exit status 2."""


class UsageError(Exception):
    """Wrong usage, or a tool or file that is missing."""
