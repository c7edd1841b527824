"""Thin edges on `ggm.recommend`: the command line."""
