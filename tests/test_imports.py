"""Who may import whom: values flow one way, heavy libraries have one owner, the door is light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ggm

PACKAGE = Path(ggm.__file__).parent

EVERYBODY_MAY_USE = {"errors", "records", "hashtags", "settings"}
STAGES = {"media", "features", "retriever", "generator", "ranking", "scorer"}

# What each part may import besides itself and the above. A part that is not listed fails the test:
# whoever adds one decides here where it stands.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "hashtags": set(),
    "settings": set(),
    "media": set(),
    "ranking": set(),
    "scorer": {"ranking"},
    "history": {"ranking"},
    "scenes": set(),
    "features": {"media", "scenes"},
    "retriever": set(),
    "pool": {"retriever", "corpus"},
    "generator": set(),
    "policy": {"ranking"},
    "bundle": {"features", "retriever", "generator", "ranking", "scorer"},
    "model_info": {*STAGES, "bundle"},
    "candidates": {*STAGES, "bundle", "history"},
    "runtime": {*STAGES, "bundle"},
    "descriptions": {"generator"},
    "recommend": {*STAGES, "bundle", "candidates", "descriptions", "history", "policy", "pool", "runtime"},
    "tagging": {"corpus"},
    "bulk": {"media", "features", "bundle", "recommend", "corpus", "policy"},
    "plots": set(),
    "corpus": {"media", "scenes", "plots", "policy"},
    "training": {*STAGES, "bundle", "candidates", "recommend", "corpus", "evaluation", "scenes"},
    "evaluation": {*STAGES, "bundle", "candidates", "history", "recommend", "corpus", "plots"},
    "reproduce": {*STAGES, "bundle", "model_info", "corpus", "training", "evaluation", "plots"},
    "serving": {
        *STAGES,
        "bundle",
        "model_info",
        "descriptions",
        "history",
        "policy",
        "pool",
        "recommend",
        "tagging",
        "bulk",
        "runtime",
        "corpus",
        "training",
        "evaluation",
        "reproduce",
    },
    "__main__": {"serving"},
}

# The few at the bottom may not use each other freely either.
BOTTOM: dict[str, set[str]] = {
    "errors": set(),
    "records": {"errors"},
    "hashtags": {"errors", "records"},
    "settings": {"errors"},
}

NEURAL = ("ggm.features", "ggm.generator", "ggm.bundle", "ggm.model_info", "ggm.training", "ggm.evaluation")

# A library and the modules (by prefix) that alone may import it.
OWNERS: dict[str, tuple[str, ...]] = {
    "av": ("ggm.media", "ggm.corpus.render"),
    "bert_score": (),  # the formula stands in ggm.evaluation.bertscore; tests compare
    "fastapi": tuple(f"ggm.serving.service.{name}" for name in ("app", "pool_routes", "recommend_routes")),
    "h11": ("ggm.serving.service.server",),
    "prometheus_client": ("ggm.serving.service.metrics",),
    "pydantic": ("ggm.serving.service.schemas", "ggm.serving.service.recommend_routes"),
    "python_multipart": ("ggm.serving.service.uploads",),
    "datasets": ("ggm.corpus.importers.huggingface",),
    "emoji": ("ggm.hashtags.emoji_words",),
    "glin_profanity": ("ggm.policy.harmful",),
    "matplotlib": ("ggm.plots",),
    "faiss": ("ggm.retriever.faiss_index",),
    "nltk": ("ggm.evaluation.human.statistics",),
    "milvus_lite": ("ggm.pool.milvus_store",),
    "onnx": ("ggm.runtime.export",),
    "onnxruntime": ("ggm.runtime.session",),
    "pyarrow": ("ggm.corpus.parquet",),
    "pymilvus": ("ggm.pool.milvus_store",),
    "ray": ("ggm.bulk.ray_data", "ggm.serving.replicas.graph"),
    "regex": ("ggm.policy.scripts",),
    "resvg_py": ("ggm.corpus.art.svg",),
    "rouge_score": ("ggm.evaluation.metrics",),
    "scipy": ("ggm.evaluation.human.statistics",),
    "starlette": ("ggm.serving.rating_page", "ggm.serving.service.app", "ggm.serving.service.guard"),
    "typer": (
        "ggm.serving.annotate_cli",
        "ggm.serving.reproduce_cli",
        "ggm.serving.cli",
        "ggm.serving.corpus_cli",
        "ggm.serving.data_cli",
        "ggm.serving.evaluate_cli",
        "ggm.serving.human_cli",
        "ggm.serving.import_cli",
        "ggm.serving.options",
        "ggm.serving.pool_cli",
        "ggm.serving.serve_cli",
        "ggm.serving.tag_cli",
    ),
    "uvicorn": ("ggm.serving.rating_page", "ggm.serving.service.server"),
    "watchfiles": ("ggm.tagging.watching",),
    "wordninja": ("ggm.hashtags",),
    "torch": (*NEURAL, "ggm.retriever", "ggm.recommend", "ggm.reproduce", "ggm.runtime"),
    "transformers": NEURAL,
}

FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@cache
def module_names() -> dict[str, Path]:
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["ggm", *path.relative_to(PACKAGE).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(module_names()[module].read_text("utf-8"))


def imports(module: str) -> Iterator[str]:
    """Every module that a module names in an import, wherever in its text."""
    is_package = module_names()[module].name == "__init__.py"
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + is_package]
                base = ".".join([*kept, base] if base else kept)
            for alias in node.names:  # `from ggm.corpus import render` names a module
                inner = f"{base}.{alias.name}"
                yield inner if inner in module_names() else base


def part(module: str) -> str:
    return module.split(".")[1]


def ours() -> list[str]:
    """All modules but the root, whose names are loaded lazily and which nobody imports."""
    return [module for module in module_names() if module != "ggm"]


def test_there_is_something_to_check() -> None:
    assert {"ggm.errors", "ggm.records", "ggm.hashtags.words", "ggm.media.decode"} <= set(ours())
    assert "ggm.errors" in set(imports("ggm.hashtags.canonical"))
    assert "ggm.hashtags.lexicon" in set(imports("ggm.hashtags.words"))


@pytest.mark.parametrize("module", ours())
def test_imports_go_downwards(module: str) -> None:
    mine = part(module)
    assert mine in ALLOWED, f"say in this test what {mine} may import"
    allowed = BOTTOM.get(mine, ALLOWED[mine] | EVERYBODY_MAY_USE) | {mine}
    for imported in imports(module):
        if imported.split(".")[0] == "ggm":
            assert imported != "ggm", f"{module} imports the root; name the module itself"
            assert part(imported) in allowed, f"{module} may not import {imported}"


def test_the_rules_themselves_go_downwards() -> None:
    rules = {name: BOTTOM.get(name, allowed | EVERYBODY_MAY_USE) for name, allowed in ALLOWED.items()}
    order = list(TopologicalSorter(rules).static_order())
    assert order.index("media") < order.index("features") < order.index("bundle") < order.index("recommend")
    assert not {"generator", "features"} & ALLOWED["retriever"]
    assert not {"retriever", "features"} & ALLOWED["generator"]
    assert [name for name, allowed in rules.items() if "serving" in allowed] == ["__main__"]


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: {i for i in imports(module) if i in module_names()} for module in ours()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_heavy_library_has_its_owners(library: str) -> None:
    users = {module for module in ours() for imported in imports(module) if imported.split(".")[0] == library}
    strangers = {
        user
        for user in users
        if not any(user == own or user.startswith(f"{own}.") for own in OWNERS[library])
    }
    assert not strangers


def test_nothing_that_runs_code_from_files_is_used() -> None:
    for module in module_names():
        assert not {imported.split(".")[0] for imported in imports(module)} & FORBIDDEN, module
        for node in ast.walk(tree(module)):
            if not isinstance(node, ast.Call):
                continue
            arguments = {keyword.arg: keyword.value for keyword in node.keywords}
            trusted = arguments.get("trust_remote_code")
            assert trusted is None or ast.unparse(trusted) == "False", module
            if ast.unparse(node.func) == "torch.load":
                assert ast.unparse(arguments.get("weights_only", ast.Constant(None))) == "True", module
            if ast.unparse(node.func) in {"np.load", "numpy.load"}:
                assert ast.unparse(arguments.get("allow_pickle", ast.Constant(False))) == "False", module


def run_python(code: str) -> str:
    """Run code in a fresh interpreter and give what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


HEAVY = (
    "torch", "transformers", "av", "wordninja", "typer", "PIL", "safetensors", "tokenizers", "pyarrow",
    "matplotlib", "watchfiles", "datasets", "resvg_py", "starlette", "uvicorn", "fastapi", "pydantic",
    "nltk", "scipy", "glin_profanity", "emoji", "ray",
)  # fmt: skip


@pytest.mark.parametrize(
    ("module", "may_load"),
    [
        ("ggm", ()),
        ("ggm.hashtags", ()),
        ("ggm.records", ()),
        ("ggm.policy", ()),
        ("ggm.corpus.importers", ()),
        ("ggm.media", ("av",)),
        ("ggm.media.worker", ("av",)),
        ("ggm.serving.cli", ("typer",)),
        ("ggm.serving.corpus_cli", ("typer",)),
        ("ggm.serving.human_cli", ("typer",)),
        ("ggm.serving.import_cli", ("typer",)),
        ("ggm.serving.evaluate_cli", ("typer",)),
        ("ggm.serving.pool_cli", ("typer",)),
        ("ggm.serving.tag_cli", ("typer",)),
        ("ggm.serving.annotate_cli", ("typer",)),
        ("ggm.tagging.run", ()),
        ("ggm.tagging.watching", ()),
        ("ggm.serving.serve_cli", ("typer",)),
        ("ggm.pool", ()),
        ("ggm.pool.living", ("safetensors",)),
        ("ggm.evaluation.evaluate", ()),
        ("ggm.evaluation.report", ()),
        ("ggm.evaluation.human.report", ()),
    ],
)
def test_light_modules_load_nothing_heavy(module: str, may_load: tuple[str, ...]) -> None:
    loaded = run_python(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    assert not set(HEAVY) - set(may_load) & set(loaded)


def test_the_front_door_opens_fast() -> None:
    """In seconds of CPU, which a busy machine doesn't change; torch alone takes more than one."""
    code = "import time; start = time.process_time(); import ggm; print(time.process_time() - start)"
    assert float(run_python(code)) < 0.1


def test_the_front_door_is_lazy_and_complete() -> None:
    code = "import ggm, sys; assert 'ggm.errors' not in sys.modules; print(ggm.GgmError.__module__)"
    assert run_python(code).strip() == "ggm.errors"
    assert dir(ggm) == sorted(ggm.__all__)
    for name in ggm.__all__:
        assert getattr(ggm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ggm.nothing  # noqa: B018


def test_import_changes_nothing() -> None:
    """No output, seeds, or changes of the environment."""
    code = (
        "import os, random; before = dict(os.environ), random.getstate()\n"
        "import ggm, ggm.hashtags, ggm.records\n"
        "assert before == (dict(os.environ), random.getstate())"
    )
    assert run_python(code) == ""
