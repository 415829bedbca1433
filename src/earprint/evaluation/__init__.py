"""Evaluation: cut queries from references, distort them, identify them, count.

The way through it: `run` gathers what takes part, `queries` draws and renders excerpts, `measure` asks
and counts, `left_out` remembers what took no part, `report` lays out, `command` is the command line.
"""
