"""Datasets of posts: manifests, splits, and a public corpus that one command builds."""
