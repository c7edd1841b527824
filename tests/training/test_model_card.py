from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from ggm.bundle import load_bundle, save_bundle
from ggm.errors import BundleError, DataError
from ggm.retriever.pool import HashtagPool
from ggm.training.model_card import model_card, rewrite_card
from ggm.training.recipes import Recipe
from systems import random_bundle


def record(recipe: Recipe, **values: Any) -> dict[str, Any]:
    return {
        "recipe": asdict(recipe),
        "data": "clipart",
        "posts": 2400,
        "rejected": 0,
        "seconds": 61.2,
        "loss": {"10": 3.5, "20": 1.25},
        "torch": "2.13.0",
        "transformers": "5.23.0",
        **values,
    }


def test_the_card_says_what_the_record_says(recipe: Recipe) -> None:
    bundle = random_bundle("tiny")
    assert bundle.generator is not None
    runs = {"retriever": record(recipe, rejected=3), "generator": record(recipe, loss={})}
    card = model_card(replace(bundle, training=runs), evaluation="| ROUGE-1 |\n| --- |\n| 50.1 |\n")
    assert card.startswith("# random\n")
    assert "| audio | random |" in card
    assert "The pool holds 8 hashtags; those of the training posts are 8." in card
    assert f"generator's {bundle.generator.num_parameters():,} parameters were trained" in card
    retriever, generator = card.split("## Training: ")[1:]
    assert "clipart, 2,400 training posts; 3 could not be used" in retriever
    assert "12 steps of 12 posts, learning rate 0.01, 61 s" in retriever
    assert "loss: 3.500 at first, 1.250 at last" in retriever
    assert "torch 2.13.0, transformers 5.23.0" in retriever
    assert "could not be used" not in generator
    assert "loss" not in generator.split("##")[0]
    assert card.endswith("## Evaluation\n\n| ROUGE-1 |\n| --- |\n| 50.1 |\n")


def test_a_card_of_a_retriever_alone_claims_no_generator() -> None:
    bundle = random_bundle("tiny")
    card = model_card(replace(bundle, generator=None, text=None))
    assert "generator's" not in card
    assert "## Evaluation" not in card


def test_a_part_that_is_absent_is_named_so() -> None:
    bundle = random_bundle("tiny")
    silent = replace(bundle.profile, name="silent", audio=None)
    assert "| audio | none |" in model_card(replace(bundle, profile=silent))


def contents(folder: Path) -> dict[str, Any]:
    """Each file's bytes; the pool's values, since safetensors writes its header in any order."""
    files: dict[str, Any] = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "bundle.json"
    }
    pool = HashtagPool.load(folder / "pool.safetensors")
    files["pool.safetensors"] = (
        list(pool),
        pool.retriever_fingerprint,
        load_file(folder / "pool.safetensors")["vectors"].tolist(),
    )
    return files


def test_rewriting_the_card_changes_nothing_else(tmp_path: Path, recipe: Recipe) -> None:
    folder, figures = tmp_path / "bundle", tmp_path / "figures.md"
    bundle = replace(random_bundle("tiny"), training={"generator": record(recipe)})
    save_bundle(replace(bundle, card=model_card(bundle)), folder)
    before = contents(folder)
    figures.write_text("F1 is 50.1 für Katzen.\n", "utf-8")
    assert rewrite_card(folder, evaluation=figures) == folder / "README.md"
    after = contents(folder)
    assert [name for name in after if after[name] != before.get(name)] == ["README.md"]
    assert before.keys() == after.keys()
    loaded = load_bundle(folder)
    assert loaded.card == model_card(bundle, evaluation="F1 is 50.1 für Katzen.")
    assert loaded.training == bundle.training
    rewrite_card(folder)
    assert contents(folder) == before


def test_what_can_not_be_read_is_refused_by_name(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.md: can't be read as text"):
        rewrite_card(tiny_bundle_dir, evaluation=tmp_path / "absent.md")
    (tmp_path / "latin.md").write_bytes(b"f\xfcr")
    with pytest.raises(DataError, match=r"latin\.md: can't be read as text"):
        rewrite_card(tiny_bundle_dir, evaluation=tmp_path / "latin.md")
    with pytest.raises(BundleError, match="no bundle there"):
        rewrite_card(tmp_path)


def test_the_command_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ggm.serving import cli

    save_bundle(random_bundle("tiny"), tmp_path / "b")
    (tmp_path / "figures.md").write_text("All is well.", "utf-8")
    monkeypatch.setattr(
        "sys.argv",
        ["ggm", "model", "card", str(tmp_path / "b"), "--evaluation", str(tmp_path / "figures.md")],
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert (tmp_path / "b" / "README.md").read_text("utf-8").endswith("## Evaluation\n\nAll is well.\n")
