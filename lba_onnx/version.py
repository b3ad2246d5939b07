"""The version of the package, which is that of its native libraries, too."""

__version__ = "0.1.0"
