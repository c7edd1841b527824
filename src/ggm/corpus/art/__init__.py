"""A public corpus, built: drawings, colour emoji and icons with human keywords as short videos."""

from ggm.corpus.art.build import build_art
from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.metadata import ArtSummary

__all__ = ["ArtConfig", "ArtSummary", "build_art"]
