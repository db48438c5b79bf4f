"""The error of a command that cannot do what was asked."""


class UserError(Exception):
    """A failure that the user can fix; shown as one clear line, without a traceback (exit status 1).

    The message names the thing, says what was expected and what to do next.
    """
