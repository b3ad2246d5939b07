"""The errors that a user can cause, and therefore can mend."""


class LbaError(Exception):
    """Base of the errors raised for a mistake in what the user gave."""


class ModelError(LbaError):
    """A model, or one of its nodes, that cannot be read, converted or run as asked."""


class SelectionError(LbaError):
    """A node name, pattern or operator type that selects nothing or contradicts another."""


class DataError(LbaError):
    """Input data that cannot be read, or that does not fit the model's inputs."""


class LibraryError(LbaError):
    """A native library that is missing, does not load or has another version."""


class OutputError(LbaError):
    """An output path that would take the place of what is read, of another output, or of somebody else's file."""
