"""A controlled corpus: a simulation, at the paper's scale, of posts whose truth is known.

`wordnet` reads the words, `config` has every knob, `universe` decides what there is to post about
and with which hashtags, `authors` who posts, `drawing` what, `descriptions` with which words,
`build` writes the dataset, and `clips` renders small ones as videos.
"""

from ggm.corpus.synthetic.build import SyntheticSummary, build_synthetic
from ggm.corpus.synthetic.config import SyntheticConfig

__all__ = ["SyntheticConfig", "SyntheticSummary", "build_synthetic"]
