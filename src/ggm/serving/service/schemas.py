"""What requests and answers look like."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

from ggm.descriptions import MAX_DESCRIPTION_CHARACTERS
from ggm.errors import MissingDependencyError
from ggm.records import PolicyAction, PolicyRule, Source
from ggm.serving.service.wishes import MOST_BEAMS, MOST_HASHTAGS

try:
    from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
except ImportError as error:
    raise MissingDependencyError(
        "the service needs fastapi and pydantic: pip install 'ggm[serve]'"
    ) from error

MOST_HISTORY: Final = 200
_LONGEST_HASHTAG: Final = 200
_LONGEST_DESCRIPTION: Final = 100_000

HashtagText = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_HASHTAG)]
HistoryText = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_CHARACTERS)]
"""The hashtags of one post, or its caption."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Options(_Request):
    """What is wanted for one video; all may be left out."""

    max_hashtags: int = Field(default=5, ge=1, le=MOST_HASHTAGS, description="Fewer may come.")
    min_score: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    platform: str | None = Field(default=None, description="A name from /v1/platforms.", max_length=50)
    novel: Literal["allow", "flag", "forbid"] | None = Field(default=None, description="Of coined hashtags.")
    beams: int | None = Field(default=None, ge=1, le=MOST_BEAMS, description="More are slower.")
    fitting: bool = Field(default=False, description="Fewer hashtags where fewer promise to fit better.")
    policy: dict[str, Any] = Field(
        default_factory=dict,
        description="Further fields of a policy (docs/policy.md); they can narrow the operator's down.",
        examples=[{"block": ["*sale*"], "aliases": {"nyc": "newyorkcity"}}],
    )


class Item(_Request):
    """One video of a batch."""

    path: str | None = Field(default=None, description="Below one of the service's folders.", max_length=4096)
    description: str = Field(default="", max_length=_LONGEST_DESCRIPTION)
    history: list[HistoryText] = Field(
        default_factory=list,
        max_length=MOST_HISTORY,
        description="The hashtags of the creator's earlier posts, a text a post, oldest first.",
    )
    options: Options = Options()


class Batch(_Request):
    """Videos that are on the service's computer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"path": "cat.mp4", "description": "first snow"}, {"path": "cup.mp4"}]}]
        }
    )

    items: list[Item] = Field(min_length=1)


class Post(_Request):
    """A post of which hashtags are counted."""

    hashtags: list[HashtagText] = Field(min_length=1, max_length=100)
    created_at: str = Field(max_length=64, description="ISO 8601; UTC where no zone is named.")
    author: str | None = Field(default=None, max_length=200)
    id: str | None = Field(default=None, max_length=200)


class PoolChange(_Request):
    """Changes, made in this order: add, alias, observe."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"add": ["tabbycat"]},
                {"alias": {"newyorkcity": ["nyc", "bigapple"]}},
                {"observe": [{"hashtags": ["snow"], "created_at": "2026-11-25T09:00:00Z", "author": "ann"}]},
            ]
        }
    )

    add: list[HashtagText] = Field(default_factory=list)
    alias: dict[str, list[HashtagText]] = Field(default_factory=dict)
    observe: list[Post] = Field(default_factory=list)
    min_sources: int = Field(default=3, ge=1, le=1_000_000, description="Authors that let a new hashtag in.")


class PoolRemoval(_Request):
    """Hashtags that go."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"hashtags": ["tabbycat"]}]})

    hashtags: list[HashtagText] = Field(min_length=1)


class Near(_Answer):
    """A hashtag of the guidance."""

    hashtag: str
    similarity: float


class Hashtag(_Answer):
    """One recommended hashtag."""

    hashtag: str = Field(description="Without #.")
    display: str = Field(description="How to show it, such as ColdWeather.")
    score: float = Field(ge=0, le=1)
    source: Source
    known: bool = Field(description="Whether the vocabulary or the pool has it.")
    novel: bool = Field(description="Whether it was coined.")
    flagged: bool = Field(description="Whether the policy wants somebody to look at it first.")
    why: list[Near] = Field(description="The guidance closest to it.")


class Change(_Answer):
    """What a policy did."""

    hashtag: str
    action: PolicyAction
    rule: PolicyRule
    reason: str = Field(description="What made the rule apply.")
    result: str | None = None


class Frame(_Answer):
    """A picture that the model looked at."""

    seconds: float
    image: str = Field(description="A data URL of a small JPEG.")


class BundleName(_Answer):
    """Which model answered."""

    name: str
    fingerprint: str


class Recommended(_Answer):
    """Hashtags for one video."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "3f9c1a2b4d5e6f70",
                    "hashtags": [
                        {
                            "hashtag": "kitten",
                            "display": "kitten",
                            "score": 0.71,
                            "source": "guidance",
                            "known": True,
                            "novel": False,
                            "flagged": False,
                            "why": [{"hashtag": "cat", "similarity": 0.83}],
                        }
                    ],
                    "changes": [],
                    "guidance": [{"hashtag": "cat", "similarity": 0.43}],
                    "notices": [],
                    "seconds": {"queue": 0.0, "decode": 0.06, "total": 0.6},
                    "bundle": {"name": "compact", "fingerprint": "0123456789abcdef"},
                }
            ]
        }
    )

    id: str
    hashtags: list[Hashtag]
    changes: list[Change]
    guidance: list[Near] = Field(max_length=50)
    frames: list[Frame] | None = None
    notices: list[str]
    seconds: dict[str, float] = Field(description="decode, encode, write, queue, total.")
    bundle: BundleName


class ErrorDetail(_Answer):
    """Why a request was refused."""

    code: str = Field(examples=["queue_full"])
    message: str
    request_id: str


class Error(_Answer):
    """Every refusal looks like this."""

    error: ErrorDetail


class ItemError(ErrorDetail):
    """Why one video of several was refused, and what the status and `Retry-After` would have been."""

    status: int
    retry_after: int | None = Field(default=None, description="Seconds.")


class ItemAnswer(_Answer):
    """What came of one video: a result or an error."""

    result: Recommended | None = None
    error: ItemError | None = None


class BatchAnswer(_Answer):
    """One answer a video, in order."""

    id: str
    items: list[ItemAnswer]


class Preset(_Answer):
    """What a platform takes."""

    max_count: int | None
    max_length: int | None
    max_total_length: int | None
    recommended: list[str] = Field(description="Which of these are advice rather than rules.")


class Presets(_Answer):
    """All platforms."""

    platforms: dict[str, Preset]


class Limits(_Answer):
    """What may be sent."""

    max_upload_bytes: int
    max_duration_seconds: float
    formats: list[str]
    max_hashtags: int
    max_beams: int
    max_items: int
    max_description_characters: int
    max_history: int = Field(description="Earlier posts whose hashtags may be sent.")
    paths: bool = Field(description="Whether videos can be named by path.")
    pool_changes: bool = Field(description="Whether the pool can be changed here.")


class PoolRow(_Answer):
    """A hashtag of the pool."""

    hashtag: str
    uses: int | None = None
    similarity: float | None = None


class PoolRows(_Answer):
    """Hashtags that were found."""

    hashtags: list[PoolRow]
    total: int = Field(description="How many there are in all; by meaning, all of the pool, closest first.")


class Rising(_Answer):
    """A hashtag that is used more than usual."""

    hashtag: str
    rise: float
    per_day: float
    per_day_before: float
    uses: int


class Trends(_Answer):
    """What is rising."""

    rising: list[Rising]


class Learned(_Answer):
    """What came of observed posts."""

    posts: int
    uses: int
    added: list[str]
    skipped: list[str] = Field(description="Why posts weren't counted.")


class PoolState(_Answer):
    """The pool after a change, which is on disk."""

    hashtags: int = Field(description="How many there are now.")
    added: int = Field(description="How many came in.")
    removed: int
    observed: Learned | None = None


class Health(_Answer):
    """Whether the service can be asked."""

    status: Literal["ok"]


Model = TypeVar("Model", bound=BaseModel)


def parse_options(text: str | None) -> Options:
    """Options from JSON; None or nothing for the usual ones.

    Raises:
        ValueError: With what is wrong and where, and nothing of what was sent.
    """
    return _parsed(Options, text) if text and text.strip() else Options()


def parse_items(text: str) -> list[Item]:
    """A JSON list of items.

    Raises:
        ValueError: As for `parse_options`.
    """
    return _parsed(Batch, f'{{"items": {text}}}').items


def _parsed(model: type[Model], text: str) -> Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(told([dict(one) for one in error.errors()])) from None


def told(errors: list[dict[str, Any]]) -> str:
    """What pydantic found wrong, in one line, without the values.

    Args:
        errors: As `ValidationError.errors` gives them.
    """
    parts = []
    for one in errors[:5]:
        place = ".".join(str(step) for step in one["loc"] if step not in ("body", "query"))
        message = "isn't known here" if one["type"] == "extra_forbidden" else str(one["msg"])
        parts.append(f"{place[:100]}: {message[:200]}" if place else message[:200])
    rest = f" (and {len(errors) - 5} more)" if len(errors) > 5 else ""
    return "; ".join(parts) + rest
