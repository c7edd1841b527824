"""Bulk work on many clips: a manifest becomes shards of hashtags or features, each written once.

`plan` cuts the manifest into shards and these into batches, `work` does a batch, `local` and
`ray_data` bring batches to where they are worked on, `folder` keeps what is finished, and `run` is
the whole story.
"""
