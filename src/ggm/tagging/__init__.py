"""Hashtags for whole folders of videos: found, tagged beside them, and taken back exactly.

`finding` walks the folder, `describing` reads what is said of a video already, `xmp`, `infojson` and
`table` write, `edits` says how a write is taken back, `ledger` remembers it, `run`, `undo` and
`watching` are what is done.
"""
