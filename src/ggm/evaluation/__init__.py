"""Scores of saved predictions; no model is needed here (paper, section 4.4 and appendix B.1).

`metrics` scores each post, `bootstrap` says how certain a mean or a difference is, `predictions`
has the file that systems write and everything that is said of it.
"""
