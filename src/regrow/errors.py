"""The one exception that means: the user can mend this. The command line prints its sentence and exits with 2."""


class RegrowError(Exception):
    """A mistake or a missing thing that the message explains in one sentence, with the remedy."""


class ConfigError(RegrowError, ValueError):
    """A run was described with an unknown key, an impossible value or values that clash."""


class DataError(RegrowError):
    """A data set is missing, truncated, foreign or of the wrong shape."""


class StoreError(RegrowError):
    """The store cannot be written, or holds something that is not a record of ours."""


class NotRecorded(RegrowError):
    """A figure needs records that do not exist, and this profile does not train."""
