"""The one exception that speaks to users."""


class AnimaticError(Exception):
    """Something the user can mend: the message says what, where and how, in one line.

    The command line prints it as ``error: <message>`` and exits non-zero; nothing else is
    printed, so the message has to stand alone.
    """
