"""Options that several commands share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ggm.serving.sizes import parse_bytes

if TYPE_CHECKING:
    from ggm.policy import Policy


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


DataOption = Annotated[Path, typer.Option(help="Dataset folder with a manifest.")]
CacheOption = Annotated[Path | None, typer.Option(help="Feature cache; by default beside the dataset.")]
CacheSizeOption = Annotated[
    int | None,
    typer.Option(
        "--cache-size",
        parser=_bytes,
        metavar="SIZE",
        help="Most the features may take on disk, such as 50GB; no limit by default.",
    ),
]

FramesOption = Annotated[
    Literal["exact", "nearest-keyframe"],  # `ggm.media.sample.FrameChoice`, without loading it
    typer.Option(
        help="Frames on the screen at the sampled moments, or keyframes near them: quicker, others."
    ),
]

RuntimeOption = Annotated[
    Path | None, typer.Option(help="Folder that `ggm export` wrote; its encoders are quicker.")
]
PrecisionOption = Annotated[
    Literal["fp32", "bf16", "int8"],  # `ggm.generator.packing.Precision`, without loading it
    typer.Option(help="What is computed in: fewer bits are quicker, and round more; see docs/speed.md."),
]

UploadOption = Annotated[
    int | None,
    typer.Option(parser=_bytes, metavar="SIZE", help="Largest video, such as 50MB; 200MB by default."),
]

PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="TOML file that says what may be recommended.")
]
NovelOption = Annotated[
    str | None,
    typer.Option(
        metavar="allow|flag|forbid", help="Coined hashtags: may be recommended, are marked, or never written."
    ),
]
PlatformOption = Annotated[
    str | None, typer.Option(help="Limits of a platform, such as tiktok, instagram, youtube-shorts or x.")
]
MinScoreOption = Annotated[float | None, typer.Option(help="Lowest score that is recommended, 0 to 1.")]
BlockOption = Annotated[
    list[str] | None,
    typer.Option(help="Never recommend these; * stands for any characters; may be repeated."),
]
AllowOption = Annotated[
    list[str] | None, typer.Option(help="Keep these from the filter of harmful words; may be repeated.")
]
HistoryOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE|HASHTAGS",
        help="The creator's earlier hashtags: a file with a line a post, oldest first, or the hashtags of a "
        "post; may be repeated.",
    ),
]

_MOST_HISTORY = 16_000_000  # bytes of a file


def make_history(values: list[str] | None) -> list[str]:
    """The texts of earlier posts, oldest first.

    Args:
        values: Each a file, of which each line is a post, or the hashtags of a post.

    Raises:
        ConfigError: If a file can't be read.
    """
    from ggm.errors import ConfigError

    texts = []
    for value in values or ():
        if not value.lstrip().startswith("#") and any(
            mark in value for mark in "./\\"
        ):  # no hashtag has them
            try:
                with Path(value).open("rb") as file:
                    content = file.read(_MOST_HISTORY + 1)
                if len(content) > _MOST_HISTORY:
                    raise ConfigError(
                        f"{value}: larger than {_MOST_HISTORY // 10**6} MB, too large for a history"
                    )
                texts += content.decode("utf-8-sig").splitlines()
            except OSError as error:
                raise ConfigError(f"{value}: can't read the history: {error.strerror or error}") from error
            except UnicodeDecodeError as error:
                raise ConfigError(f"{value}: the history isn't in UTF-8") from error
        else:
            texts.append(value)
    return texts


def make_policy(
    path: Path | None,
    *,
    novel: str | None,
    platform: str | None,
    min_score: float | None,
    block: list[str] | None,
    allow: list[str] | None,
) -> Policy:
    """The policy of a file, or the default one, with what was said on the command line.

    Args:
        path: A TOML file; None for the default policy.
        novel: In place of the file's; None leaves it, as below.
        platform: In place of the file's.
        min_score: In place of the file's.
        block: Beside the file's.
        allow: Beside the file's.

    Raises:
        ConfigError: If the file can't be used, or a value is refused.
    """
    from ggm.policy import Policy

    policy = Policy() if path is None else Policy.load(path)
    said = {"novel": novel, "platform": platform, "min_score": min_score}
    changes: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    return replace(
        policy,
        **changes,
        block=(*policy.block, *(block or ())),
        allow=(*policy.allow, *(allow or ())),
    )
