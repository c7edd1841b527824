"""What creators write whatever their video shows."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GENERIC_HASHTAGS: Final = _words("""
    fyp foryou viral follow like trending foryoupage explore love instagood funny video reels tiktok
    share followme cute new photooftheday instadaily explorepage happy likeforlike trend comedy memes
    lol friends fun weekend vibes today repost content creator insta viralvideo fypage capcut shorts
""")
"""The noise of hashtags, the most frequent first."""

MODIFIERS: Final = _words("""
    lover life time day challenge hack vibes season goals world squad art style party fail diy daily
    tips club love girl boy fan family magic story check nation hour mood dance review tour haul
""")
"""The second words of coined hashtags; the first name a topic."""

TEMPLATES: Final = (
    "look at this", "my morning so far", "finally", "who else", "wait for it", "just a quick one",
    "could not resist", "another one", "this made my week", "no words", "a little more of this",
    "can you believe it", "as promised", "you asked for it", "tell me what you think", "again",
    "right here right now", "sound on", "take two", "it happened", "part one", "do not try this",
    "how it started", "so good", "not even sorry", "when nobody is looking", "what a view",
    "trying something", "home at last", "back at it",
)  # fmt: skip
"""Openings of descriptions that say nothing of the video."""

NAMINGS: Final = ("with my {}", "{} again", "all about {}", "that {}", "{} on point", "more {}")
"""How a description names a hashtag."""

WIDE_WORDS: Final = {
    "act": "action", "animal": "animals", "artifact": "stuff", "event": "events", "food": "food",
    "object": "nature", "person": "people", "phenomenon": "nature", "plant": "plants",
}  # fmt: skip
"""A hashtag for all topics of a domain; others are called as the domain is."""

UNFIT: Final = (
    "slur", "offensive", "derogat", "disparag", "obscen", "vulgar", "sexual", "prostitut", "genital",
    "ethnic", "coitus", "masturbat", "excrement", "murder", "rape", "torture",
)  # fmt: skip
"""Glosses with these letters are left out: nobody wants to read such hashtags in a report."""
