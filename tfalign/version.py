"""The version, in one place: the package, exported models' metadata and reports read it here."""

__version__ = "0.2.0"
