"""One folder holds a trained system.

    bundle.json             format, parts, settings, and the SHA-256 of every file below
    retriever.safetensors   the retriever's heads
    encoders.safetensors    pretrained encoders that were trained further, if any
    classifier.safetensors  what guides in the retriever's place, if anything does
    class_embeddings.safetensors   compact profile: text embeddings of the class names
    pool.safetensors        the hashtag pool with its vectors
    vocabulary.json         hashtags of the training posts with their counts
    output_vocabulary.json  compact profile: pieces that the decoder writes with
    generator.safetensors   what training changed; frozen backbones come from their checkpoints
    README.md               the model card

No pickle anywhere. Parts that don't belong together refuse to load.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ggm.bundle.system import Bundle, build_generator
from ggm.errors import BundleError, CheckpointError, ConfigError
from ggm.features.extract import load_extractor
from ggm.features.profiles import Profile
from ggm.features.text import TextModelConfig, load_text_model
from ggm.features.trained import encoder_state, load_encoder_state
from ggm.generator.config import GeneratorConfig
from ggm.generator.decoding import DecodingConfig
from ggm.hashtags import Vocabulary
from ggm.ranking import RankingConfig
from ggm.retriever.classifier import ClassifierConfig, HashtagClassifier
from ggm.retriever.model import Retriever, RetrieverConfig
from ggm.retriever.pool import HashtagPool
from ggm.scorer import Scorer
from ggm.settings import from_dict

FORMAT: Final = 1
MANIFEST: Final = "bundle.json"
SHIPPED: Final = Path(__file__).parents[1] / "bundles"


def save_bundle(bundle: Bundle, folder: Path | str) -> None:
    """Write a bundle: the whole folder or nothing.

    Floating-point weights are kept in float16; use `round_weights` before measuring, so that the
    bundle that is loaded is the one that was measured.

    Args:
        bundle: What to write.
        folder: Replaced if it is a bundle already.

    Raises:
        BundleError: If the folder holds something else, or can't be written.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise BundleError(f"{folder}: holds something that isn't a bundle; name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _write_files(bundle, building)
        building.chmod(0o755)
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
            folder.replace(old / "bundle")
            building.replace(folder)
            shutil.rmtree(old)
        else:
            building.replace(folder)
    except OSError as error:
        raise BundleError(f"{folder}: can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_files(bundle: Bundle, folder: Path) -> None:
    _save_tensors(bundle.retriever.state_dict(), folder / "retriever.safetensors")
    if bundle.trained_encoders:
        state = encoder_state(bundle.extractor, bundle.trained_encoders)
        _save_tensors(state, folder / "encoders.safetensors")
    bundle.pool.save(folder / "pool.safetensors")
    (folder / "vocabulary.json").write_text(bundle.vocabulary.to_json(), "utf-8")
    if bundle.card:
        (folder / "README.md").write_text(bundle.card, "utf-8")
    class_embeddings = getattr(bundle.extractor.frames, "class_embeddings", None)
    if isinstance(class_embeddings, Tensor):
        _save_tensors({"class_embeddings": class_embeddings}, folder / "class_embeddings.safetensors")
    if bundle.classifier is not None:
        _save_tensors(bundle.classifier.state_dict(), folder / "classifier.safetensors")
    generator: dict[str, Any] | None = None
    if bundle.generator is not None and bundle.text is not None:
        _save_tensors(bundle.generator.trainable_state_dict(), folder / "generator.safetensors")
        text = asdict(bundle.text)
        pieces = text.pop("output_vocabulary")
        if pieces is not None:
            (folder / "output_vocabulary.json").write_text(
                json.dumps(pieces, ensure_ascii=False, indent=0), "utf-8"
            )
        generator = {"config": bundle.generator.config.to_dict(), "text": text}
    manifest = {
        "format": FORMAT,
        "name": bundle.name,
        "profile": asdict(bundle.profile),
        "extractor_fingerprint": bundle.extractor.fingerprint,
        "retriever": bundle.retriever.config.to_dict(),
        "generator": generator,
        "decoding": bundle.decoding.to_dict(),
        "ranking": bundle.ranking.to_dict(),
        "scorer": None if bundle.scorer is None else bundle.scorer.to_dict(),
        "trained_encoders": bundle.trained_encoders,
        "classifier": None if bundle.classifier is None else bundle.classifier.config.to_dict(),
        "training": bundle.training,
        "files": {path.name: _sha256(path) for path in sorted(folder.iterdir())},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", "utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner alone


def load_bundle(name_or_dir: Path | str, *, device: str = "cpu") -> Bundle:
    """Read a bundle, by the name of a shipped one or from a folder.

    Raises:
        BundleError: If there is none, a file of it is missing or damaged, or its format is newer.
        CheckpointError: If a backbone that it builds on is missing, or not the one it was trained on.
        PoolMismatchError: If its pool was made by another retriever.
    """
    folder = find_bundle(name_or_dir)
    manifest = read_manifest(folder)
    try:
        return _load(folder, manifest, device)
    except (KeyError, TypeError, ConfigError, SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{folder}: damaged bundle: {error}") from error


def find_bundle(name_or_dir: Path | str) -> Path:
    """The folder of a bundle.

    Raises:
        BundleError: If there is no such bundle.
    """
    folder = Path(name_or_dir)
    if (folder / MANIFEST).is_file():
        return folder
    shipped = SHIPPED / str(name_or_dir)
    if len(folder.parts) == 1 and (shipped / MANIFEST).is_file():
        return shipped
    names = sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}"))
    raise BundleError(
        f"{name_or_dir}: no bundle there; name a folder with a {MANIFEST}, "
        f"or one that is shipped: {', '.join(names)}"
    )


def bundle_fingerprint(name_or_dir: Path | str) -> str:
    """The SHA-256 of what a bundle says of itself, in which those of its files are.

    Raises:
        BundleError: If there is no such bundle, or a file of it is missing or changed.
    """
    manifest = read_manifest(find_bundle(name_or_dir))
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a bundle says of itself, once all its files are found to be as they were written.

    Raises:
        BundleError: If a file is missing or changed, or the format is newer than this version reads.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise BundleError(
                f"{path}: format {manifest['format']}, but this version of ggm reads format {FORMAT}"
            )
        files = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: damaged bundle: {error}") from error
    for name, expected in files.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise BundleError(f"{folder}: damaged bundle: {name} is missing")
        if _sha256(folder / name) != expected:
            raise BundleError(f"{folder}: damaged bundle: {name} is not the file that was written")
    return manifest  # type: ignore[no-any-return]


def _load(folder: Path, manifest: dict[str, Any], device: str) -> Bundle:
    stored = folder / "class_embeddings.safetensors"
    class_embeddings = load_file(stored)["class_embeddings"].float().numpy() if stored.is_file() else None
    profile = from_dict(Profile, manifest["profile"])
    extractor = load_extractor(profile, device=device, class_embeddings=class_embeddings)
    trained_encoders = tuple(manifest.get("trained_encoders", ()))  # older bundles have none
    if trained_encoders:
        load_encoder_state(extractor, trained_encoders, load_file(folder / "encoders.safetensors"))
    if extractor.fingerprint != manifest["extractor_fingerprint"]:
        raise CheckpointError(
            f"{folder}: the encoders found for {profile.name!r} are not those that this bundle was trained "
            "on; install the versions that it names, or train it again"
        )
    retriever = Retriever(RetrieverConfig.from_dict(manifest["retriever"]))
    _load_state(retriever, load_file(folder / "retriever.safetensors"), folder)
    fingerprint = retriever.eval().fingerprint(extractor.fingerprint)
    bundle = Bundle(
        name=manifest["name"],
        profile=profile,
        extractor=extractor,
        retriever=retriever.to(device),
        pool=HashtagPool.load(folder / "pool.safetensors", retriever_fingerprint=fingerprint),
        vocabulary=Vocabulary.from_json((folder / "vocabulary.json").read_text("utf-8")),
        decoding=DecodingConfig.from_dict(manifest["decoding"]),
        ranking=from_dict(RankingConfig, manifest["ranking"]),
        card=(folder / "README.md").read_text("utf-8") if (folder / "README.md").is_file() else "",
        training=manifest["training"],
        trained_encoders=trained_encoders,
        classifier=_load_classifier(folder, manifest.get("classifier"), device),
        scorer=Scorer.from_dict(manifest["scorer"]) if manifest.get("scorer") else None,
    )
    if manifest["generator"] is None:
        return bundle
    pieces = folder / "output_vocabulary.json"
    output_vocabulary = json.loads(pieces.read_text("utf-8")) if pieces.is_file() else None
    text = from_dict(
        TextModelConfig, manifest["generator"]["text"] | {"output_vocabulary": output_vocabulary}
    )
    config = GeneratorConfig.from_dict(manifest["generator"]["config"])
    generator = build_generator(config, load_text_model(profile, text, extractor=extractor))
    state = {name: tensor.float() for name, tensor in load_file(folder / "generator.safetensors").items()}
    generator.load_trainable_state_dict(state)
    return replace(bundle, generator=generator.to(device), text=text)


def _load_classifier(folder: Path, settings: dict[str, Any] | None, device: str) -> HashtagClassifier | None:
    if settings is None:
        return None
    classifier = HashtagClassifier(ClassifierConfig.from_dict(settings))
    _load_state(classifier, load_file(folder / "classifier.safetensors"), folder)
    return classifier.eval().to(device)


def _load_state(module: torch.nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    try:
        module.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    except RuntimeError as error:
        raise BundleError(f"{folder}: damaged bundle: {error}") from error


def _save_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous().clone()
        for name, tensor in state.items()
    }
    save_file(tensors, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
