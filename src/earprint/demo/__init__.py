"""The demonstration, `earprint demo`: add music to a library, identify distorted excerpts of it, count.

`excerpts` cuts and distorts the queries, `run` adds and identifies, `results` holds what it returns.
"""

from earprint.demo.results import DemoQuery, DemoResult, DemoSummary
from earprint.demo.run import DemoSettings, run_demo

__all__ = ["DemoQuery", "DemoResult", "DemoSettings", "DemoSummary", "run_demo"]
