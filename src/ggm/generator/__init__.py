"""The guided generator: a video, its description and guidance become hashtags (paper, section 3.2).

Read in this order: `attention` (CAM), `video_encoder` (equation 3), `model` (equation 4 and the
decoder), `pointer` (copying guidance as a whole; not in the paper), `layout` (how texts become token
ids and back), `constraint` (a pool as the only hashtags that may be written), `decoding` (what is
written, and scores). Beneath it `decoder` and `beam_search` are the fast way, `reference` the one of
transformers, that is used for all other text models and compared with.
"""

from ggm.generator.attention import CrossModalAttention
from ggm.generator.batch import GeneratorBatch, collate, collate_labels
from ggm.generator.config import GeneratorConfig
from ggm.generator.constraint import HashtagTrie, PoolTrie
from ggm.generator.decoding import DecodingConfig, generate, remember, score_hashtags
from ggm.generator.layout import (
    EncodedText,
    ParsedHashtag,
    TextLayout,
    choose_separator,
    drop_gold,
    ensure_separator,
)
from ggm.generator.memory import Memory
from ggm.generator.model import Generator
from ggm.generator.video_encoder import AudioGroundedVideoEncoder

__all__ = [
    "AudioGroundedVideoEncoder",
    "CrossModalAttention",
    "DecodingConfig",
    "EncodedText",
    "Generator",
    "GeneratorBatch",
    "GeneratorConfig",
    "HashtagTrie",
    "Memory",
    "ParsedHashtag",
    "PoolTrie",
    "TextLayout",
    "choose_separator",
    "collate",
    "collate_labels",
    "drop_gold",
    "ensure_separator",
    "generate",
    "remember",
    "score_hashtags",
]
