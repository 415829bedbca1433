"""The installed version."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("earprint")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
