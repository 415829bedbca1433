"""Evaluation: cut queries from references, distort them, identify them, count.

The way through it: `run` does one thing after the other; `plan` says what takes part; `filling` adds the
recordings, and `distractors` copies of them at other speeds; `queries` draws excerpts and puts them under
conditions, `rendering` makes audio of them, `asking` puts them to `systems`, and `versus` to peers; `measure`
counts, `roc` and `costs` do what their names say, `left_out` remembers what took no part; `report`,
`paper_tables` and `plots` lay out. `command` is the command line.
"""
