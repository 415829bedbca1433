"""Published data sets: check that a copy on disk is complete, and split it into training and test data.

A `Recipe` (one module of ``sets/`` for each set) describes a set: its files, their number or checksums, and
its split. `survey` checks a copy against its recipe. `split_writer` writes the split as folders of links and
converted files, and as text lists. Nothing is downloaded.
"""
