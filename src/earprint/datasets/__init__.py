"""Published data sets: what lies on disk, whether it is whole, and how it is divided for training and tests.

A `Recipe` (in ``sets/``) describes one set: which files it has, how many or with which checksums, and how
they are divided. One engine works on all of them: `survey` finds and checks, `place` writes the division
as folders of links and converted files, and as plain text lists. Nothing is ever downloaded.
"""
