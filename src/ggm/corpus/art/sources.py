"""What the corpus is made of: packages, versions, checksums, licences, and what is left out and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ggm.corpus.art import icons
from ggm.corpus.art.emoji import read_emoji
from ggm.corpus.art.icons import Files
from ggm.corpus.art.items import ArtItem
from ggm.corpus.npm import NpmPackage


@dataclass(frozen=True)
class ArtSource:
    """One set of pictures.

    Args:
        key: Its name here; ids of posts begin with it.
        title: Its own name.
        packages: By the part that they play; ``pictures`` is one.
        wanted: Which files of each package are read.
        licence: SPDX expression of the pictures' licence.
        stated: What ``package.json`` of the pictures states, where that says more.
        attribution: Whom to name.
        read: Gives the items, of the contents of the packages.
    """

    key: str
    title: str
    packages: Mapping[str, NpmPackage]
    wanted: Mapping[str, str]
    licence: str
    attribution: str
    read: Callable[[Mapping[str, Files]], Iterator[ArtItem]] = field(repr=False)
    stated: str = ""

    @property
    def stated_licence(self) -> str:
        """What ``package.json`` states; another would mean that the package isn't what was looked at."""
        return self.stated or self.licence

    def is_wanted(self, part: str, path: str) -> bool:
        """Whether a file of a package is read."""
        return path == "package.json" or re.fullmatch(self.wanted[part], path) is not None


@dataclass(frozen=True)
class LeftOut:
    """A set that was looked at and isn't used."""

    name: str
    licence: str
    reason: str


EMOJIBASE: Final = NpmPackage(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)
EMOJILIB: Final = NpmPackage(
    "emojilib",
    "4.0.3",
    "sha512-KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g==",
)
KEYWORD_LICENCES: Final = {
    "emojibase-data": "MIT (labels and keywords from Unicode CLDR, Unicode-3.0); Miles Johnson",
    "emojilib": "MIT; Mu-An Chiou",
}


def _set(
    key: str,
    title: str,
    package: NpmPackage,
    wanted: str,
    *,
    licence: str,
    attribution: str,
    read: Callable[[Files], Iterator[ArtItem]],
    stated: str = "",
) -> ArtSource:
    return ArtSource(
        key,
        title,
        {"pictures": package},
        {"pictures": wanted},
        licence,
        attribution,
        lambda files: read(files["pictures"]),
        stated,
    )


def _emoji(key: str, title: str, package: NpmPackage, *, licence: str, attribution: str) -> ArtSource:
    return ArtSource(
        key,
        title,
        {"pictures": package, "names": EMOJIBASE, "keywords": EMOJILIB},
        {
            "pictures": r"(icons|chars)\.json",
            "names": r"en/data\.json",
            "keywords": r"dist/emoji-en-US\.json",
        },
        licence,
        attribution,
        partial(read_emoji, key),
    )


SOURCES: Final = (
    _emoji(
        "noto",
        "Noto Emoji",
        NpmPackage(
            "@iconify-json/noto",
            "1.2.9",
            "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        ),
        licence="Apache-2.0",
        attribution="Google",
    ),
    _emoji(
        "twemoji",
        "Twemoji",
        NpmPackage(
            "@iconify-json/twemoji",
            "1.2.5",
            "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        ),
        licence="CC-BY-4.0",
        attribution="Twitter, Inc and other contributors",
    ),
    _emoji(
        "fluent",
        "Fluent Emoji, flat",
        NpmPackage(
            "@iconify-json/fluent-emoji-flat",
            "1.2.6",
            "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        ),
        licence="MIT",
        attribution="Microsoft Corporation",
    ),
    _set(
        "lucide",
        "Lucide",
        NpmPackage(
            "lucide-static",
            "1.62.0",
            "sha512-WBZA/m2PvkFpMGHDtsBck5P2A9G4ehLlYu4GwwICcmEm1BvYVgj00lCDxKRWLlbMlOibLaiwdQ88G5pHkSWgwA==",
        ),
        r"tags\.json|icons/[^/]+\.svg",
        licence="ISC AND MIT",
        stated="ISC",
        attribution="Lucide Icons and contributors; in part Cole Bemis (Feather)",
        read=icons.read_lucide,
    ),
    _set(
        "tabler",
        "Tabler Icons",
        NpmPackage(
            "@tabler/icons",
            "3.52.0",
            "sha512-dldKlJNfO/gZnGLcIY0X2EFFKIMGwL/rEvTqglvBgAPFiwj9pZOCN5V3Sf0Gyjq6foX4VQmLdOmsS4w5FdWKAw==",
        ),
        r"icons\.json|icons/(outline|filled)/[^/]+\.svg",
        licence="MIT",
        attribution="Paweł Kuna",
        read=icons.read_tabler,
    ),
    _set(
        "phosphor",
        "Phosphor",
        NpmPackage(
            "@phosphor-icons/core",
            "2.1.1",
            "sha512-v4ARvrip4qBCImOE5rmPUylOEK4iiED9ZyKjcvzuezqMaiRASCHKcRIuvvxL/twvLpkfnEODCOJp5dM4eZilxQ==",
        ),
        r"dist/index\.mjs|assets/(regular|fill|duotone)/[^/]+\.svg",
        licence="MIT",
        attribution="Phosphor Icons",
        read=icons.read_phosphor,
    ),
    _set(
        "mdi",
        "Material Design Icons",
        NpmPackage(
            "@mdi/svg",
            "7.4.47",
            "sha512-WQ2gDll12T9WD34fdRFgQVgO8bag3gavrAgJ0frN4phlwdJARpE6gO1YvLEMJR0KKgoc+/Ea/A0Pp11I00xBvw==",
        ),
        r"meta\.json|svg/[^/]+\.svg",
        licence="Apache-2.0",
        attribution="Pictogrammers; in part Google",
        read=icons.read_mdi,
    ),
    _set(
        "fontawesome",
        "Font Awesome Free",
        NpmPackage(
            "@fortawesome/fontawesome-free",
            "7.3.1",
            "sha512-wmglKKPDIkgV3aWlZzWECCPoGIkYCulzBwxG9+w7rc5BGapZ6cPMpoPOT8k36J0Ni7PPX6c/rsoMWfS4d1MUMg==",
        ),
        r"metadata/icon-families\.json|svgs/(solid|regular)/[^/]+\.svg",
        licence="CC-BY-4.0",
        stated="(CC-BY-4.0 AND OFL-1.1 AND MIT)",
        attribution="Fonticons, Inc.",
        read=icons.read_font_awesome,
    ),
    _set(
        "carbon",
        "Carbon icons",
        NpmPackage(
            "@carbon/icons",
            "11.89.0",
            "sha512-M54u+J19d+nUSp2mpRqc1Opcsqx/bv5oLLk8ECVwE0PGWmUiUlJkfl6NbWHcA2pOIyvJoEwv686KsCO1Q7RSlQ==",
        ),
        r"metadata\.json|svg/.+\.svg",
        licence="Apache-2.0",
        attribution="IBM",
        read=icons.read_carbon,
    ),
    _set(
        "pictograms",
        "Carbon pictograms",
        NpmPackage(
            "@carbon/pictograms",
            "12.82.0",
            "sha512-H3FKwJ1S9N5oKSn3NYQOOoh2mVNuT5u2oWHSHAdUKbzAI6YYlI24v83dw0IP2/NA+AoyTglgMggBH8zQ2HAO+A==",
        ),
        r"metadata\.json|svg/.+\.svg",
        licence="Apache-2.0",
        attribution="IBM",
        read=icons.read_carbon_pictograms,
    ),
    _set(
        "ionicons",
        "Ionicons",
        NpmPackage(
            "ionicons",
            "8.1.0",
            "sha512-XSM2gYWTXxSYTwjmKWAoy4yR7AbAFDjpc5ZIivAiGXskM0fe5CdMPfs6InQRUcrYtVb2WZ/0HQ1/jeh3JW78SA==",
        ),
        r"dist/ionicons\.json|dist/svg/[^/]+\.svg",
        licence="MIT",
        attribution="Ionic",
        read=icons.read_ionicons,
    ),
    _set(
        "octicons",
        "Octicons",
        NpmPackage(
            "@primer/octicons",
            "19.42.0",
            "sha512-MEcHxVxNHu1I2Ndk5Mcwp7tfBiDk/EpytDJgKOfE2ldqIczWucVrZNeNU4wtEN5mnNudZ0YL5G0spax3bSMT4w==",
        ),
        r"build/data\.json|build/svg/[^/]+\.svg",
        licence="MIT",
        attribution="GitHub",
        read=icons.read_octicons,
    ),
    _set(
        "healthicons",
        "Health Icons",
        NpmPackage(
            "healthicons",
            "2.0.0",
            "sha512-fl2Ja5CUwtWqdHf5Q0/V7OEGGQjTHlMrDZy0bwgE5ZvYnVwR51WLlLonl4NY6+7urEJchCnWUJglTUEEUS1dhg==",
        ),
        r"public/icons/meta-data\.json|public/icons/svg/(filled|outline)/.+\.svg",
        licence="MIT",
        attribution="Resolve to Save Lives",
        read=icons.read_health_icons,
    ),
    _set(
        "codicons",
        "Codicons",
        NpmPackage(
            "@vscode/codicons",
            "0.0.45",
            "sha512-1KAZ7XCMagp5Gdrlr4bbbcAqgcIL623iO1wW6rfcSVGAVUQvR0WP7bQx1SbJ11gmV3fdQTSEFIJQ/5C+HuVasw==",
        ),
        r"dist/metadata\.json|src/icons/[^/]+\.svg",
        licence="CC-BY-4.0",
        attribution="Microsoft Corporation",
        read=icons.read_codicons,
    ),
)
"""In the order in which they are read."""

LEFT_OUT: Final = (
    LeftOut(
        "OpenMoji (openmoji)", "CC-BY-SA-4.0", "share-alike: weights trained on it might have to be, too"
    ),
    LeftOut("Tux Paint stamps (tuxpaint-stamps-default)", "GPL-2.0", "copyleft; kept for tests"),
    LeftOut("Unicons (@iconscout/unicons)", "IconScout Simple License", "no free licence"),
    LeftOut("Remix Icon (remixicon)", "Remix Icon License 1.0", "not free; package.json says Apache-2.0"),
    LeftOut("Bootstrap Icons (bootstrap-icons)", "MIT", "no keywords in the package"),
    LeftOut("Material Symbols (@material-symbols/svg-400)", "Apache-2.0", "no keywords in the packages"),
    LeftOut("Iconoir (iconoir)", "MIT", "no keywords in the package"),
    LeftOut("MingCute (mingcute_icon)", "Apache-2.0", "no keywords in the package"),
    LeftOut("Huge Icons (@hugeicons/core-free-icons)", "MIT", "no keywords in the package"),
    LeftOut("Maki (@mapbox/maki)", "CC0-1.0", "no keywords in the package"),
    LeftOut("game-icons.net (@iconify-json/game-icons)", "CC-BY-3.0", "no keywords in the package"),
    LeftOut("Streamline (@iconify-json/streamline)", "CC-BY-4.0", "headings only, no keywords"),
    LeftOut("Flat Color Icons (@iconify-json/flat-color-icons)", "MIT", "no keywords in the package"),
    LeftOut("IconPark (@icon-park/svg)", "Apache-2.0", "keywords in Chinese"),
    LeftOut("Feather (feather-icons)", "MIT", "the same drawings as Lucide's"),
    LeftOut("Emoji One 2, Firefox OS emoji", "CC-BY-4.0, Apache-2.0", "more copies of the same emoji"),
    LeftOut("brands and logos of all sets", "", "the licence of a drawing doesn't cover the trademark"),
)
