"""Audio input: convert files, streams and arrays to 16 kHz mono float32.

`stream_audio` decodes block by block in bounded memory, `load_audio` decodes a whole file, and
`array_to_mono` converts an array. `find_audio_files`, `survey`, `is_folder`, `content_hash` and `read_tags`
deal with files.
"""

from earprint.audio.arrays import array_to_mono
from earprint.audio.decode import load_audio, stream_audio
from earprint.audio.files import content_hash, find_audio_files, is_folder, survey
from earprint.audio.tags import Tags, read_tags

__all__ = [
    "Tags",
    "array_to_mono",
    "content_hash",
    "find_audio_files",
    "is_folder",
    "load_audio",
    "read_tags",
    "stream_audio",
    "survey",
]
