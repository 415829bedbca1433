"""Audio fingerprints: find which recording a few noisy seconds come from.

A library of recordings on disk:

>>> import earprint
>>> with earprint.Library("my-library") as library:
...     report = library.add("music/")
...     match = library.identify("noisy-clip.wav").match
>>> match.track.title, round(match.start_s, 1)
('song 1', 4.0)

Fingerprints without a library, of a file or of an array:

>>> fingerprints = earprint.embed("music/song 0.wav")
>>> fingerprints.vectors.shape, fingerprints.times_s[:3]
((35, 128), array([0.  , 0.32, 0.64]))

The public names and their types are in ``__init__.pyi``; each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
