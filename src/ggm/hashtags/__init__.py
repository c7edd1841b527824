"""One canonical form of a hashtag, and all that follows from it.

`canonical` normalises and compares, `caption` takes hashtags out of what a creator typed,
`creators` and `emoji_words` make the rest readable, `words` splits a hashtag into words and shows
it readably, `plurals` brings them into the singular, `vocabulary` counts known hashtags.
"""

from ggm.hashtags.canonical import MAX_LENGTH, key, normalise, same
from ggm.hashtags.caption import ParsedCaption, parse_caption
from ggm.hashtags.creators import readable
from ggm.hashtags.vocabulary import Vocabulary
from ggm.hashtags.words import display_form, english_words, split_words, word_ranks

__all__ = [
    "MAX_LENGTH",
    "ParsedCaption",
    "Vocabulary",
    "display_form",
    "english_words",
    "key",
    "normalise",
    "parse_caption",
    "readable",
    "same",
    "split_words",
    "word_ranks",
]
