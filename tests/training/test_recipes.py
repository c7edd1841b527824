from pathlib import Path

import pytest

import ggm
from ggm.errors import ConfigError
from ggm.features.descriptions import BERT
from ggm.features.profiles import Profile
from ggm.training.recipes import GeneratorRecipe, OptimiserSettings, load_recipe, shipped_recipes

RECIPES = Path(ggm.__file__).parent / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_loads(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_a_shipped_recipe_has_a_name_and_a_file_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"compact-clipart", "paper-vine", "synthetic"} <= set(shipped_recipes())
    assert load_recipe("synthetic") == load_recipe(RECIPES / "synthetic.toml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic").write_text('name = "mine"\n', encoding="utf-8")
    assert load_recipe("synthetic").name == "mine"
    with pytest.raises(ConfigError, match=r"nowhere: no such recipe; name a TOML file, or one of compact-"):
        load_recipe("nowhere")


def test_overrides_change_single_settings(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[generator]\ntop_k = 10\n', encoding="utf-8")
    recipe = load_recipe(
        path, overrides=["generator.guidance=none", "generator.optimiser.max_steps=7", "seed=3"]
    )
    assert recipe.generator.guidance == "none"
    assert recipe.generator.optimiser.max_steps == 7
    assert recipe.generator.top_k == 10
    assert recipe.seed == 3


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ('name = "r"\n[generator]\ntop_k = 0\n', None, "top_k must be positive"),
        ('name = "r"\n[generator]\ntopk = 5\n', None, "unknown key topk"),
        ('name = "r"\n[generator]\ngold_drop = 1.5\n', None, "gold_drop must be within 0 and 1"),
        ('name = "r"\n[generator]\nguidance = "self"\n', None, "guidance"),
        ('name = "r"\n[generator]\nfolds = 1\n', None, "folds must be at least 2"),
        ('name = "r"\n[classifier]\ntext_encoder = ""\n', None, "text_encoder is empty"),
        ('name = "r"\n[classifier]\ntrained = "all"\n', None, "classifier.trained"),
        (
            'name = "r"\n[classifier]\ntrained = "encoders"\n',
            "generator.guidance=classifier",
            'set classifier.trained = "heads"',
        ),
        ("name = ", None, "not a readable TOML"),
        ('name = "r"\n', "seed", "written table.key=value"),
        ('name = "r"\n', "name.x=1", "name is not a table"),
    ],
)
def test_bad_recipes_are_refused_with_the_reason(
    tmp_path: Path, text: str, override: str | None, message: str
) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_recipe(path, overrides=[override] if override else None)


def test_a_missing_recipe_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: no such recipe"):
        load_recipe(tmp_path / "absent.toml")


def test_the_papers_settings_are_the_defaults() -> None:
    assert OptimiserSettings().learning_rate == 6e-5
    assert OptimiserSettings().batch_size == 32
    assert GeneratorRecipe().top_k == 50
    with pytest.raises(ConfigError, match="trained_encoder_layers"):
        GeneratorRecipe(trained_encoder_layers=-2)


def test_a_profile_is_a_name_or_a_table_of_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        'name = "r"\n[profile]\nname = "mine"\nretriever = "/m/clip"\nvision = "/m/vit"\ntext = "/m/bart"\n'
        'audio = "/m/clap"\n',
        encoding="utf-8",
    )
    assert load_recipe(path).profile == Profile("mine", "/m/clip", "/m/vit", "/m/clap", "/m/bart")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('audio = "/m/clap"\n', ""), encoding="utf-8")
    assert load_recipe(path).profile == Profile("mine", "/m/clip", "/m/vit", None, "/m/bart")
    path.write_text('name = "r"\n[profile]\nname = "mine"\nmodel = "x"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="profile"):
        load_recipe(path)


@pytest.mark.parametrize(("name", "max_tokens"), [("paper-vine", 32), ("paper-yfcc100m", 64)])
def test_the_papers_recipes_say_what_the_paper_says(name: str, max_tokens: int) -> None:
    """Sections 4.2 and 5.2 and appendix A; the guidance from a retriever whose towers were trained."""
    recipe = load_recipe(RECIPES / f"{name}.toml")
    assert recipe.profile == "base"
    assert recipe.retriever.trained == "towers"
    generator = recipe.generator
    assert (generator.optimiser.learning_rate, generator.optimiser.batch_size) == (6e-5, 32)
    assert (generator.top_k, generator.gold_drop) == (50, pytest.approx(1 / 3, abs=1e-3))
    assert generator.end_to_end
    assert generator.trained_encoder_layers == -1
    assert generator.optimiser.weight_decay == 0.0  # Adam, not AdamW
    assert (recipe.decoding.num_beams, recipe.decoding.no_repeat_ngram_size) == (5, 3)
    assert recipe.decoding.max_new_tokens == generator.max_target_tokens == max_tokens
    assert recipe.checkpoints.keep_best == 3
    classifier = recipe.classifier
    assert (classifier.trained, classifier.loss) == ("encoders", "softmax")
    assert classifier.text_encoder == BERT
    assert classifier.optimiser.batch_size == 32  # "for all of our experiments"
    assert classifier.optimiser.weight_decay == 0.0
