import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from checkpoints import write_base_checkpoints
from ggm.bundle import SHIPPED, find_bundle, load_bundle, save_bundle
from ggm.errors import BundleError, CheckpointError, PoolMismatchError
from ggm.features.text import TextModelConfig
from ggm.recommend import Recommender
from ggm.records import Recommendation
from ggm.runtime.precision import with_precision
from systems import HASHTAGS, random_bundle


def answers(folder: Path, clips: list[Path]) -> list[tuple[object, ...]]:
    with Recommender.from_pretrained(folder) as recommender:
        found = list(recommender.recommend_many([(clip, "first snow") for clip in clips], top=8))
    assert all(isinstance(answer, Recommendation) for answer in found)
    return [(answer.hashtags, answer.guidance) for answer in found if isinstance(answer, Recommendation)]


def test_saving_and_loading_changes_nothing_bit_for_bit(tmp_path: Path, clips: list[Path]) -> None:
    bundle = random_bundle("tiny", seed=1)
    with Recommender(with_precision(bundle, "fp32")) as recommender:  # as it is loaded
        before = [
            (a.hashtags, a.guidance)
            for a in (recommender.recommend(clip, "first snow", top=8) for clip in clips)
        ]
    save_bundle(bundle, tmp_path / "bundle")
    assert answers(tmp_path / "bundle", clips) == before
    assert any(hashtags for hashtags, _ in before)


def test_base_from_checkpoints_on_disk_runs_the_same_code(tmp_path: Path, clips: list[Path]) -> None:
    profile = write_base_checkpoints(tmp_path / "checkpoints")
    bundle = random_bundle(profile)
    assert bundle.extractor.sound_dim is not None
    with Recommender(with_precision(bundle, "fp32")) as recommender:  # as it is loaded
        before = [
            (a.hashtags, a.guidance)
            for a in (recommender.recommend(clip, "first snow", top=8) for clip in clips)
        ]
    save_bundle(bundle, tmp_path / "bundle")
    assert answers(tmp_path / "bundle", clips) == before
    assert [len(guidance) for _, guidance in before] == [4, 4, 4, 4]


def test_a_bundle_of_a_part_trained_text_encoder_comes_back(tmp_path: Path, clips: list[Path]) -> None:
    bundle = random_bundle("tiny", text=TextModelConfig(trained_encoder_layers=0))
    assert bundle.generator is not None
    assert not any(name.startswith("text_model.encoder") for name in bundle.generator.trainable_state_dict())
    # The frozen encoder comes from its checkpoint, so it has to be as it came for this comparison.
    save_bundle(bundle, tmp_path / "bundle")
    first = answers(tmp_path / "bundle", clips)
    save_bundle(load_bundle(tmp_path / "bundle"), tmp_path / "again")
    assert answers(tmp_path / "again", clips) == first


def test_files_hold_no_pickle(tiny_bundle_dir: Path) -> None:
    names = sorted(path.name for path in tiny_bundle_dir.iterdir())
    assert names == [
        "bundle.json",
        "generator.safetensors",
        "pool.safetensors",
        "retriever.safetensors",
        "vocabulary.json",
    ]


@pytest.mark.parametrize(
    "name",
    ["generator.safetensors", "pool.safetensors", "retriever.safetensors", "vocabulary.json", "bundle.json"],
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_damage_of_any_file_is_refused_by_name(
    tmp_path: Path, tiny_bundle_dir: Path, name: str, damage: str
) -> None:
    folder = shutil.copytree(tiny_bundle_dir, tmp_path / "bundle")
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif name == "bundle.json":
        path.write_text(path.read_text("utf-8").replace('"format": 1', '"format": 99'), "utf-8")
    else:
        content[-1] ^= 1
        path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}|no bundle there"):
        load_bundle(folder)


def test_a_pool_of_another_retriever_is_refused(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    folder = shutil.copytree(tiny_bundle_dir, tmp_path / "bundle")
    save_bundle(random_bundle("tiny", seed=5), tmp_path / "other")
    _exchange(folder, "pool.safetensors", (tmp_path / "other" / "pool.safetensors").read_bytes())
    with pytest.raises(PoolMismatchError, match="made by another retriever"):
        load_bundle(folder)


def test_weights_of_another_shape_are_refused(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    folder = shutil.copytree(tiny_bundle_dir, tmp_path / "bundle")
    tensors = load_file(folder / "retriever.safetensors")
    tensors["hashtag_head.weight"] = np.zeros((2, 2), np.float16)
    save_file(tensors, folder / "new")
    _exchange(folder, "retriever.safetensors", (folder / "new").read_bytes())
    with pytest.raises(BundleError, match="damaged bundle"):
        load_bundle(folder)


def test_missing_generator_weights_are_refused(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    folder = shutil.copytree(tiny_bundle_dir, tmp_path / "bundle")
    tensors = load_file(folder / "generator.safetensors")
    del tensors[next(name for name in tensors if name.startswith("text_model."))]
    save_file(tensors, folder / "new")
    _exchange(folder, "generator.safetensors", (folder / "new").read_bytes())
    with pytest.raises(CheckpointError, match=r"missing or unknown weights.*text_model"):
        load_bundle(folder)


def test_other_encoders_are_refused(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    folder = shutil.copytree(tiny_bundle_dir, tmp_path / "bundle")
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text("utf-8")) | {"extractor_fingerprint": "0" * 32}
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(CheckpointError, match="not those that this bundle was trained on"):
        load_bundle(folder)


def test_unknown_settings_are_refused(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    folder = shutil.copytree(tiny_bundle_dir, tmp_path / "bundle")
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["ranking"]["magic"] = 1
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BundleError, match="unknown key magic"):
        load_bundle(folder)


def test_a_manifest_can_not_reach_outside_its_folder(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    folder = shutil.copytree(tiny_bundle_dir, tmp_path / "bundle")
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["files"]["../secret"] = "0"
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BundleError, match="damaged bundle"):
        load_bundle(folder)


def test_where_there_is_no_bundle_the_shipped_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle there.*shipped: compact"):
        find_bundle(tmp_path)
    with pytest.raises(BundleError, match="no bundle there"):
        find_bundle("no/such/bundle")
    assert find_bundle("compact") == SHIPPED / "compact"


def test_a_folder_with_other_content_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious", "utf-8")
    with pytest.raises(BundleError, match="isn't a bundle"):
        save_bundle(random_bundle("tiny"), tmp_path)
    assert (tmp_path / "thesis.txt").read_text("utf-8") == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]


def test_replacing_a_bundle_leaves_nothing_behind(tmp_path: Path) -> None:
    bundle = random_bundle("tiny")
    save_bundle(bundle, tmp_path / "b")
    save_bundle(replace(bundle, card="# second\n"), tmp_path / "b")
    assert load_bundle(tmp_path / "b").card == "# second\n"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_retriever_alone_is_a_bundle_but_recommends_nothing(tmp_path: Path) -> None:
    save_bundle(replace(random_bundle("tiny"), generator=None, text=None), tmp_path / "b")
    bundle = load_bundle(tmp_path / "b")
    assert set(bundle.pool) == set(HASHTAGS)
    with pytest.raises(BundleError, match="holds a retriever only"):
        Recommender(bundle)


def _exchange(folder: Path, name: str, content: bytes) -> None:
    """Put another file in place, with its own hash, as a careless or hostile hand would."""
    import hashlib

    (folder / name).write_bytes(content)
    (folder / "new").unlink(missing_ok=True)
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest), "utf-8")
