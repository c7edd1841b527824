"""Human evaluation of novel hashtags (paper, section 5.4, appendix B.2 and table 6).

`sheet` draws what people rate, `study` is the folder they get, which doesn't say what is novel,
`answers` says it and stays beside that folder; `ratings` keeps what they say, `report` counts it,
with the figures that libraries give in `statistics`, and `tables` writes it down.
"""
