"""Evaluation: cut queries from recordings, distort them, identify them, and count the answers.

In the order of the data:

- `material`, `excerpts`, `conditions`, `query`, `rendering`: recordings, noises and responses give queries;
- `plan`: which queries an evaluation has; `exclusions`: what it leaves out;
- `distractors`, `ingest`: the systems' libraries get the recordings;
- `systems`, `search`, `backends`, `torch_backend`, `workers`, `runner`: the queries are identified;
- `peers`, `peer_runner`: other systems get the same queries;
- `experiment`: all of this, one step after the other;
- `outcomes`, `repeats`, `costs`: what came of each query, and what it cost;
- `metrics`, `intervals`, `comparison`, `matched`, `roc`: statistics;
- `tables`, `paper_tables`, `plots`, `report`: what the user reads.

``earprint evaluate`` (`earprint.cli.evaluate`) calls `experiment.run_experiment` and `report.Report`.
"""
