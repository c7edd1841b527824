"""A starter pool: hashtags for everyday short videos, built from free word lists, to begin a pool with."""

from ggm.corpus.starter.build import StarterSummary, build_starter
from ggm.corpus.starter.entries import StarterEntry, read_starter, shipped_starter

__all__ = ["StarterEntry", "StarterSummary", "build_starter", "read_starter", "shipped_starter"]
