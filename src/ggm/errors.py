"""Every error that ggm raises on purpose.

GgmError
├── MediaError               a video that can't be used; the message names the file
│   ├── MediaNotFoundError     no such file, a directory, or not readable
│   ├── MediaFormatError       not a video, truncated, corrupt, no video stream, no frame
│   ├── MediaLimitError        larger, longer or of more pixels than the limits allow
│   └── MediaTimeoutError      decoding took longer, or more memory, than it may
├── HashtagError             a text that holds no hashtag
├── DataError                a manifest, split or corpus that can't be used
├── ConfigError              a recipe or config with an unknown key or a value out of range
├── CheckpointError          backbone weights that are missing, wrong or changed
├── BundleError              a bundle that is missing, damaged or of another format version
├── PoolError                an operation that this hashtag pool can't do
│   └── PoolMismatchError      vectors that were made by another retriever
├── ClusterError             Ray didn't start, can't be reached, or gave up
└── MissingDependencyError   an optional package is absent; the message has the pip line
"""

from __future__ import annotations


class GgmError(Exception):
    """Base of every error raised by ggm."""


class MediaError(GgmError):
    """A video that can't be used."""


class MediaNotFoundError(MediaError):
    """The path doesn't exist, is a directory, or may not be read."""


class MediaFormatError(MediaError):
    """The file isn't a video, or is truncated, corrupt, without video stream or without a frame."""


class MediaLimitError(MediaError):
    """The file exceeds a limit on size, duration, resolution or number of streams."""


class MediaTimeoutError(MediaError):
    """Decoding exceeded its limit of time or memory and was ended."""


class HashtagError(GgmError):
    """A text that doesn't hold a hashtag."""


class DataError(GgmError):
    """A manifest, a split or a corpus that can't be used."""


class ConfigError(GgmError):
    """A recipe or configuration with an unknown key or a value out of range."""


class CheckpointError(GgmError):
    """Backbone weights that are missing, of the wrong kind, or not those they should be."""


class BundleError(GgmError):
    """A bundle that is missing, damaged, or of a format this version can't read."""


class PoolError(GgmError):
    """An operation that this hashtag pool can't do."""


class PoolMismatchError(PoolError):
    """A pool whose vectors were made by another retriever."""


class ClusterError(GgmError):
    """Ray, on this machine or several, that didn't start, can't be reached, or gave up."""


class MissingDependencyError(GgmError):
    """An optional package that is needed here isn't installed."""
