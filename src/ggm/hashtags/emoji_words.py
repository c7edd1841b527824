"""What an emoji says in words, by the library emoji, whose only user this is (names of Unicode CLDR)."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_MOODS: Final = {
    "face_with_tears_of_joy": "funny", "rolling_on_the_floor_laughing": "funny",
    "grinning_squinting_face": "laughing", "grinning_face_with_sweat": "laughing",
    "grinning_face": "happy", "grinning_face_with_big_eyes": "happy",
    "grinning_face_with_smiling_eyes": "happy", "beaming_face_with_smiling_eyes": "happy",
    "smiling_face_with_smiling_eyes": "happy", "slightly_smiling_face": "happy", "smiling_face": "happy",
    "smiling_face_with_hearts": "love", "smiling_face_with_heart-eyes": "love",
    "smiling_cat_with_heart-eyes": "love", "face_blowing_a_kiss": "love", "star-struck": "amazing",
    "smiling_face_with_sunglasses": "cool", "face_savoring_food": "delicious",
    "drooling_face": "delicious", "sleeping_face": "sleep", "sleepy_face": "sleepy",
    "yawning_face": "tired", "cold_face": "cold", "hot_face": "hot", "partying_face": "party",
    "crying_face": "sad", "nerd_face": "nerd", "exploding_head": "amazing", "pleading_face": "cute",
    "face_screaming_in_fear": "scary", "zzz": "sleep", "red_heart": "love", "orange_heart": "love",
    "yellow_heart": "love", "green_heart": "love", "blue_heart": "love", "light_blue_heart": "love",
    "purple_heart": "love", "brown_heart": "love", "black_heart": "love", "white_heart": "love",
    "grey_heart": "love", "pink_heart": "love", "two_hearts": "love", "sparkling_heart": "love",
    "growing_heart": "love", "beating_heart": "love", "revolving_hearts": "love",
    "heart_with_arrow": "love", "heart_suit": "love", "heart_hands": "love",
    "broken_heart": "heartbreak", "flexed_biceps": "strong", "water_wave": "waves",
    "two-hump_camel": "camel", "fallen_leaf": "autumn leaves", "hiking_boot": "hiking",
    "diving_mask": "scuba diving", "pouting_cat": "cat", "grinning_cat": "cat", "weary_cat": "cat",
    "crying_cat": "cat", "Santa_Claus": "santa", "Mrs._Claus": "christmas", "Mx_Claus": "christmas",
    "Christmas_tree": "christmas tree", "sun_with_face": "sun", "sun_behind_cloud": "cloudy",
    "cloud_with_rain": "rain", "cloud_with_snow": "snow", "cloud_with_lightning": "lightning",
    "cloud_with_lightning_and_rain": "thunderstorm", "umbrella_with_rain_drops": "rain",
    "snowman_without_snow": "snowman", "beach_with_umbrella": "beach",
    "sunrise_over_mountains": "sunrise", "night_with_stars": "night sky",
    "bridge_at_night": "bridge night", "house_with_garden": "house garden", "musical_note": "music",
    "musical_notes": "music", "artist_palette": "art", "clapper_board": "film", "party_popper": "party",
    "wrapped_gift": "gift", "steaming_bowl": "noodles", "cooked_rice": "rice", "curry_rice": "curry",
    "hot_beverage": "coffee", "fork_and_knife": "food", "fork_and_knife_with_plate": "food",
    "clinking_beer_mugs": "beer", "clinking_glasses": "celebration", "paw_prints": "pets",
    "cherry_blossom": "cherry blossom", "snow-capped_mountain": "snow mountain", "soccer_ball": "soccer",
    "american_football": "american football", "flag_in_hole": "golf", "fishing_pole": "fishing",
    "video_game": "gaming", "selfie": "selfie", "nail_polish": "nails", "books": "books",
}  # fmt: skip
"""What faces and hearts say that creators use a lot, and what has an odd name, by its name in CLDR."""

_ANIMAL_FACES: Final = frozenset(
    {
        *("mouse", "cow", "tiger", "rabbit", "cat", "dragon", "horse", "monkey", "dog", "pig"),
        *("frog", "hamster", "wolf", "bear", "panda", "fox", "lion", "unicorn", "moose"),
    }
)
_SAYS_NOTHING: Final = re.compile(
    r"face|heart|hand|finger|fist|palm|thumb|gesturing|facepalming|shrugging|tipping|person_in|keycap|arrow|button|"
    r"square|circle|diamond|mark|sign|symbol|o’clock|o'clock|-thirty|regional|minus|plus|multiply|divide|check|"
    r"prohibited|no_|sparkles|collision|dizzy|eyes|eye|mouth|tongue|bubble|hundred_points|skull|pile_of_poo|"
    r"_cat_|cat_with|monkey$|copyright|registered|trade|droplets|dashing|person$|^man$|^woman$|infinity|input|"
    r"curly_loop|see-no|hear-no|speak-no|^fire$|backhand|hole$|loudspeaker|index_|hourglass|mailbox|paper|triangle|^(?:man|woman|person)_(?:in|with|wearing|standing|bowing)_"
)
"""Names of gestures, of signs, and of what stands for something else (fire, sparkles)."""

_KEPT: Final = frozenset({"monkey", "handbag"})
_TONE: Final = re.compile(r"_(?:medium-light|medium-dark|light|medium|dark)_skin_tone")
_SOMEBODY: Final = re.compile(r"^(?:man|woman|person|men|women|people)_")
_FACE: Final = "_face"


def with_words(text: str) -> str:
    """The text with each emoji replaced by what it says; by a space, if that is nothing or was said.

    ``"my 🐱🐱 in the ❄️"`` is ``"my cat in the snowflake"``, with single spaces around what was put in.
    A text without emoji is returned unchanged.

    Args:
        text: Any.
    """
    if text.isascii():
        return text
    import emoji

    said: set[str] = set()

    def word(_chars: str, facts: dict[str, str]) -> str:
        words = emoji_words(facts["en"].strip(":"))
        new = words not in said
        said.add(words)
        return f"\1{words}\1" if words and new else "\1"

    replaced = emoji.replace_emoji(text.replace("\1", " "), replace=word)
    return _GAPS.sub(" ", replaced).strip() if "\1" in replaced else text


_GAPS: Final = re.compile(r"\s*\x01[\s\x01\ufe0f\ufe0e\u200d\u20e3]*")


@cache
def emoji_words(name: str) -> str:
    """What is said by an emoji of that name; empty for nothing.

    Args:
        name: As the library has it: ``cat_face``, ``man_surfing_dark_skin_tone``, ``France``.
    """
    name = _TONE.sub("", name)
    if name in _MOODS:
        return _MOODS[name]
    if name.removesuffix(_FACE) in _ANIMAL_FACES:
        return name.removesuffix(_FACE)
    if name.startswith("family"):
        return "family"
    bare = _SOMEBODY.sub("", name)
    if name not in _KEPT and (_SAYS_NOTHING.search(name) or not bare):
        return ""
    return bare.replace("_", " ").replace("-", " ").casefold()
