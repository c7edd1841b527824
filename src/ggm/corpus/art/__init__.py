"""A public corpus, built: drawings, colour emoji and icons with human keywords as short videos."""

from ggm.corpus.art.build import ArtSummary, build_art
from ggm.corpus.art.config import ArtConfig

__all__ = ["ArtConfig", "ArtSummary", "build_art"]
