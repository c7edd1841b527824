"""Which pretrained parts a system is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ggm.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """Four pretrained parts, each of them a hub id or a local directory.

    Any profile but ``compact`` and ``tiny`` names `transformers` checkpoints; replace one with
    ``dataclasses.replace(profile("base"), name="mine", text="facebook/mbart-large-50")``.

    Args:
        name: What to call it. The names ``compact``, ``synthetic`` and ``tiny`` are reserved for their
            own parts.
        retriever: CLIP or SigLIP style model: both towers of the retriever (paper, section 3.1).
        vision: Vision transformer whose patch tokens the generator reads (paper, section 3.2).
        audio: Audio encoder of CLAP, AST, Whisper or another kind; None for a system without sound.
        text: Sequence-to-sequence text model (paper, section 3.2).

    Raises:
        ConfigError: If a part is empty, or a reserved name stands for other parts.
    """

    name: str
    retriever: str
    vision: str
    audio: str | None
    text: str

    def __post_init__(self) -> None:
        for part in ("name", "retriever", "vision", "text"):
            if not getattr(self, part):
                raise ConfigError(f"profile {self.name!r}: {part} is empty; name a hub id or a directory")
        if self.audio == "":
            raise ConfigError(f"profile {self.name!r}: audio is empty; name a checkpoint, or use None")
        reserved = _RESERVED_PARTS.get(self.name)
        if reserved is not None and reserved != (self.retriever, self.vision, self.audio, self.text):
            raise ConfigError(
                f"the parts of profile {self.name!r} are fixed; give the changed profile another name"
            )

    @property
    def has_compact_text(self) -> bool:
        """Whether its text model is the one that comes with packages."""
        return self.name in ("compact", "synthetic")


_RESERVED_PARTS: Final[dict[str, tuple[str, str, str | None, str]]] = {
    "compact": (
        "EfficientNet-Lite0 + all-MiniLM-L6-v2",
        "EfficientNet-Lite0",
        None,
        "all-MiniLM-L6-v2",
    ),
    "synthetic": ("simulation + all-MiniLM-L6-v2", "simulation", "simulation", "all-MiniLM-L6-v2"),
    "tiny": ("random", "random", "random", "random"),
}

PROFILES: Final[dict[str, Profile]] = {
    "base": Profile(
        "base",
        retriever="openai/clip-vit-base-patch32",
        vision="google/vit-base-patch16-224-in21k",
        audio="laion/clap-htsat-unfused",
        text="facebook/bart-base",
    ),
    **{name: Profile(name, *parts) for name, parts in _RESERVED_PARTS.items()},
}
"""The paper's parts; parts that come with packages and need no hub; those of a simulation; random ones."""


def profile(name_or_profile: str | Profile) -> Profile:
    """Look a profile up by name.

    Raises:
        ConfigError: If there is no profile of that name.
    """
    if isinstance(name_or_profile, Profile):
        return name_or_profile
    if name_or_profile not in PROFILES:
        raise ConfigError(f"no profile {name_or_profile!r}; there are {', '.join(sorted(PROFILES))}")
    return PROFILES[name_or_profile]
