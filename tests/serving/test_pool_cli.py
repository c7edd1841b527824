"""`ggm pool`: what is printed where, and the exit status."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands import Run
from ggm.bundle import load_bundle, save_bundle
from ggm.corpus.starter import shipped_starter
from ggm.errors import BundleError, PoolError, PoolMismatchError
from ggm.hashtags import key
from ggm.pool import LivingPool
from ggm.recommend import Recommender
from ggm.retriever import HashtagPool
from ggm.retriever.classifier import ClassifierConfig, HashtagClassifier
from systems import HASHTAGS, random_bundle


@pytest.fixture
def pool(run: Run, tmp_path: Path, tiny_bundle_dir: Path) -> Path:
    folder = tmp_path / "pool"
    status, out, err = run("pool", "init", folder, "--model", tiny_bundle_dir)
    assert (status, out, err) == (0, f"pool: {folder} ({len(HASHTAGS)} hashtags)\n", "")
    return folder


def hashtags(folder: Path) -> tuple[str, ...]:
    with LivingPool.open(folder, read_only=True) as pool:
        return pool.hashtags


def write_posts(path: Path, *, days: int = 40) -> Path:
    """Posts that begin to coin a word in their last days, and three rows that are none."""
    now = datetime.now(UTC)
    rows = []
    for day in range(days):
        at = (now - timedelta(days=days - day)).isoformat()
        for author in range(5):
            tags = ["snow", *(["CoinedNow"] if day >= days - 3 else [])]
            rows.append(json.dumps({"hashtags": tags, "created_at": at, "author": f"a{author}"}))
    rows[3:3] = ["{broken", '{"hashtags": ["snow"]}', '{"hashtags": [], "created_at": "2026-01-01"}']
    path.write_text("\n".join(rows) + "\n")
    return path


def test_it_begins_with_the_bundles_hashtags(run: Run, pool: Path, tiny_bundle_dir: Path) -> None:
    assert hashtags(pool) == load_bundle(tiny_bundle_dir).pool.hashtags
    status, out, _ = run("pool", "info", pool)
    assert (status, out.split()[:2]) == (0, ["hashtags", "8"])
    status, out, _ = run("pool", "info", pool, "--json")
    assert json.loads(out)["hashtags"] == 8
    assert json.loads(out)["settings"]["trend_weight"] == 0


def test_an_empty_one_and_its_settings(run: Run, tmp_path: Path, tiny_bundle_dir: Path) -> None:
    status, out, _ = run(
        "pool", "init", tmp_path / "p", "--empty", "--model", tiny_bundle_dir, "--half-life", 1,
        "--usual-half-life", 7, "--trend-weight", "0.02",
    )  # fmt: skip
    assert (status, out) == (0, f"pool: {tmp_path / 'p'} (0 hashtags)\n")
    _, out, _ = run("pool", "info", tmp_path / "p", "--json")
    settings = json.loads(out)["settings"]
    assert (settings["half_lives"], settings["trend_weight"]) == ({"recent_days": 1, "usual_days": 7}, 0.02)


def test_adding_removing_and_renaming(run: Run, pool: Path, tiny_bundle_dir: Path, tmp_path: Path) -> None:
    status, out, _ = run("pool", "add", pool, "#NewYorkCity", "nyc", "cat", "--model", tiny_bundle_dir)
    assert (status, out) == (0, "added: 2; the pool has 10 hashtags\n")
    status, out, _ = run("pool", "alias", pool, "newyorkcity", "nyc", "bigapple")
    assert (status, out) == (0, "NewYorkCity: also nyc, bigapple\n")
    status, out, _ = run("pool", "remove", pool, "fyp", "bigapple")
    assert (status, out) == (0, "removed; the pool has 8 hashtags\n")
    (tmp_path / "list.txt").write_text("#rain\n\nhail storm\n")
    status, out, _ = run("pool", "add", pool, "--from", tmp_path / "list.txt", "--model", tiny_bundle_dir)
    assert (status, out) == (0, "added: 2; the pool has 10 hashtags\n")
    assert {"NewYorkCity", "rain", "hailstorm"} <= set(hashtags(pool))
    status, out, _ = run("pool", "compact", pool)
    assert (status, out) == (0, "records in the snapshot: 4\n")


def test_finding(run: Run, pool: Path, tiny_bundle_dir: Path) -> None:
    status, out, err = run("pool", "search", pool, "cold weather", "--top", 3, "--model", tiny_bundle_dir)
    assert (status, err) == (0, "")
    assert out.split()[:3] == ["hashtag", "similarity", "#ColdWeather"]
    assert len(out.splitlines()) == 4
    _, out, _ = run("pool", "search", pool, "#ColdWeather", "--top", 1, "--json", "--model", tiny_bundle_dir)
    assert json.loads(out) == {"hashtag": "ColdWeather", "similarity": pytest.approx(1, abs=1e-3)}
    status, out, _ = run("pool", "search", pool, "c", "--prefix")
    assert (status, out.split()) == (0, ["hashtag", "trend", "#ColdWeather", "0.000", "#cat", "0.000"])
    _, out, _ = run("pool", "search", pool, "d", "--prefix", "--json")
    assert json.loads(out) == {"hashtag": "Dog", "trend": 0}


def test_learning_what_is_rising(run: Run, pool: Path, tiny_bundle_dir: Path, tmp_path: Path) -> None:
    posts = write_posts(tmp_path / "posts.jsonl")
    status, out, err = run("pool", "trend", pool, "--from", posts, "--model", tiny_bundle_dir)
    assert status == 0
    assert "posts: 200; uses of hashtags: 215" in out
    assert "new in the pool: #CoinedNow" in out
    assert out.splitlines()[2].split()[:2] == ["rising", "rise"]
    assert out.splitlines()[3].split()[0] == "#CoinedNow"
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        f"{posts}, line 4", f"{posts}, line 5", f"{posts}, line 6",
        "3 lines can't be used and were left out",
    ]  # fmt: skip
    status, out, err = run("pool", "trend", pool, "--json")
    (rising,) = map(json.loads, out.splitlines())
    assert (status, err, rising["hashtag"], rising["uses"]) == (0, "", "CoinedNow", 15)
    assert rising["rise"] > 1
    assert rising["per_day"] > rising["per_day_before"] > 0
    assert datetime.fromisoformat(rising["first_seen"]) < datetime.fromisoformat(rising["last_seen"])
    _, out, _ = run("pool", "trend", pool, "--smoothing", 10_000)
    assert out.split()[0] in ("rising", "nothing")


def test_posts_from_standard_input(
    run: Run, pool: Path, tiny_bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"hashtags": ["rain"], "created_at": "2026-01-01T00:00:00Z"}
    lines = "".join(json.dumps({**row, "id": number}) + "\n" for number in range(2))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    status, out, _ = run("pool", "trend", pool, "--from", "-", "--min-sources", 2, "--model", tiny_bundle_dir)
    assert status == 0
    assert "new in the pool: #rain" in out
    assert "nothing is used more than usual" in out


def test_very_many_bad_rows_are_counted(run: Run, pool: Path, tiny_bundle_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{\n" * 500)
    status, _, err = run("pool", "trend", pool, "--from", tmp_path / "bad.jsonl", "--model", tiny_bundle_dir)
    assert status == 0
    assert len(err.splitlines()) == 21
    assert err.endswith("500 lines can't be used and were left out\n")


def test_exporting(run: Run, pool: Path, tmp_path: Path) -> None:
    run("pool", "alias", pool, "cat", "kitty")
    status, out, _ = run("pool", "export", pool, tmp_path / "p.safetensors")
    assert (status, out) == (0, f"written: {tmp_path / 'p.safetensors'} (8 hashtags)\n")
    assert HashtagPool.load(tmp_path / "p.safetensors").hashtags == hashtags(pool)
    assert run("pool", "export", pool, tmp_path / "p.jsonl")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    (cat,) = (row for row in rows if row["hashtag"] == "cat")
    assert (cat["aliases"], cat["num_uses"]) == (["kitty"], 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("init", "{pool}", "--model", "{model}"), "holds a living pool already"),
        (("init", "{pool}x", "--half-life", "9", "--usual-half-life", "3"), "half-lives must be above 0"),
        (("info", "{pool}x"), "no living pool there; `ggm pool init"),
        (("add", "{pool}x", "snow"), "no living pool there"),
        (("add", "{pool}"), "name a hashtag to add"),
        (("add", "{pool}", "!", "--model", "{model}"), "not a hashtag"),
        (("add", "{pool}", "--from", "{pool}x"), "can't be read: No such file"),
        (("remove", "{pool}", "elephant"), "not in the pool: elephant"),
        (("alias", "{pool}", "elephant", "tusker"), "not in the pool: elephant"),
        (("trend", "{pool}", "--from", "{pool}x"), "can't be read: No such file"),
        (("trend", "{pool}", "--smoothing", "0"), "--smoothing must be above 0"),
        (("search", "{pool}", "!", "--prefix"), "not a hashtag"),
        (("export", "{pool}", "pool.zip"), "must end with .safetensors or .jsonl"),
    ],
)
def test_errors_are_one_line(
    run: Run, pool: Path, tiny_bundle_dir: Path, arguments: tuple[str, ...], message: str
) -> None:
    filled = (text.format(pool=pool, model=tiny_bundle_dir) for text in arguments)
    status, out, err = run("pool", *filled)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err


def test_another_bundles_pool_is_refused(run: Run, pool: Path, tmp_path: Path, clips: list[Path]) -> None:
    save_bundle(random_bundle("tiny", seed=1), tmp_path / "other")
    for arguments in (
        ("pool", "add", pool, "rain", "--model", tmp_path / "other"),
        ("recommend", clips[0], "--pool", pool, "--model", tmp_path / "other"),
    ):
        status, _, err = run(*arguments)
        assert (status, "made by another retriever" in err) == (1, True)


# ggm recommend --pool


def test_recommending_with_a_pool(run: Run, pool: Path, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    arguments = ("recommend", clips[0], "-d", "first snow", "--model", tiny_bundle_dir, "--json")
    _, plain, _ = run(*arguments)
    status, out, err = run(*arguments, "--pool", pool)
    assert (status, err) == (0, "")
    assert [json.loads(text)["guidance"] for text in (plain, out)] == [json.loads(out)["guidance"]] * 2
    status, _, err = run(*arguments, "--pool", f"{pool}x")
    assert (status, "no living pool there" in err) == (1, True)


def test_a_running_recommender_follows_the_pool(pool: Path, tiny_bundle_dir: Path, clips: list[Path]) -> None:
    with Recommender.from_pretrained(tiny_bundle_dir, pool=pool) as recommender:
        embed = recommender.bundle.embed_hashtags
        before = recommender.recommend(clips[0], top=9)
        with LivingPool.open(pool, embed=embed) as living:
            living.remove(before.guidance.texts[:1])
            living.add(["coined"], recommender.bundle.embed_videos([recommender.features(
                recommender.decode(clips[0])
            )]))  # fmt: skip
        after = recommender.recommend(clips[0], top=9)
        assert after.guidance.texts[0] == "coined"
        assert before.guidance.texts[0] not in after.guidance.texts
        assert [item.source for item in after.hashtags if item.text == "coined"] == ["guidance"]


def test_a_bundle_that_searches_no_pool_takes_none(pool: Path, tiny_bundle_dir: Path) -> None:
    bundle = load_bundle(tiny_bundle_dir)
    config = ClassifierConfig(bundle.extractor.pooled_dim, len(bundle.vocabulary))
    guided = replace(bundle, classifier=HashtagClassifier(config).eval())
    with LivingPool.open(pool, read_only=True) as living:
        with pytest.raises(BundleError, match="a classifier guides bundle"):
            guided.with_pool(living)
        with pytest.raises(PoolMismatchError, match="made by another retriever than that of bundle"):
            random_bundle("tiny", seed=1).with_pool(living)
    with pytest.raises(PoolError, match="no living pool"):
        Recommender.from_pretrained(tiny_bundle_dir, pool=f"{pool}x")


def test_without_novel_hashtags_the_living_pool_is_all_that_is_written(
    run: Run, pool: Path, tiny_bundle_dir: Path, clips: list[Path]
) -> None:
    run("pool", "remove", pool, *HASHTAGS[:5])
    status, out, _ = run(
        "recommend", clips[0], "--pool", pool, "--novel", "forbid", "--model", tiny_bundle_dir, "--json"
    )
    assert status == 0
    recommended = {item["text"] for item in json.loads(out)["hashtags"]}
    assert recommended
    assert recommended <= set(HASHTAGS[5:])


def test_a_pool_begins_with_the_starter(run: Run, tmp_path: Path, tiny_bundle_dir: Path) -> None:
    status, out, _ = run("pool", "init", tmp_path / "pool", "--model", tiny_bundle_dir, "--starter")
    words = {entry.hashtag for entry in shipped_starter(forms=False)} | set(map(key, HASHTAGS))
    assert (status, out) == (0, f"pool: {tmp_path / 'pool'} ({len(words):,} hashtags)\n")
    with LivingPool.open(tmp_path / "pool", read_only=True) as pool:
        assert pool.settings.reserve_discount == 0.15
        assert set(map(key, pool.hashtags)) == words
        assert "gorillalover" not in pool


def elsewhere(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "ggm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_pool_in_milvus_is_used_the_same(
    run: Run, pool: Path, tmp_path: Path, tiny_bundle_dir: Path, clips: list[Path]
) -> None:
    pytest.importorskip("pymilvus")
    shared, model = f"milvus:{tmp_path}/shared.db", ("--model", tiny_bundle_dir)
    run("pool", "alias", pool, HASHTAGS[0], "othername")
    status, out, err = run("pool", "migrate", pool, shared)
    assert (status, out, err) == (0, f"pool: {shared} ({len(HASHTAGS)} hashtags)\n", "")
    status, out, err = run("pool", "add", shared, "tabbycat", "#StandingDesk", *model)
    assert (status, out, err) == (0, "added: 2; the pool has 10 hashtags\n", "")
    status, out, _ = run("pool", "remove", shared, "standingdesk")
    assert (status, out) == (0, "removed; the pool has 9 hashtags\n")
    status, out, _ = run("pool", "alias", shared, "tabbycat", "tabby")
    assert (status, out) == (0, "tabbycat: also tabby\n")
    status, out, _ = run("pool", "search", shared, "tab", "--prefix", "--json")
    assert (status, json.loads(out)["hashtag"]) == (0, "tabbycat")
    status, out, _ = run("pool", "search", shared, "tabbycat", "--top", "1", "--json", *model)
    assert (status, json.loads(out)["hashtag"]) == (0, "tabbycat")
    posts = write_posts(tmp_path / "posts.jsonl")
    status, out, _ = run("pool", "trend", shared, "--from", posts, *model)
    assert status == 0
    assert "new in the pool: #CoinedNow" in out
    assert run("pool", "compact", shared)[0] == 0
    status, out, _ = run("pool", "info", shared, "--json")
    assert (json.loads(out)["hashtags"], json.loads(out)["aliases"]) == (10, 2)
    assert run("pool", "migrate", shared, tmp_path / "back")[0] == 0
    assert hashtags(tmp_path / "back") == (*HASHTAGS, "tabbycat", "CoinedNow")
    run("pool", "remove", shared, *HASHTAGS[:6])
    status, out, err = run("recommend", clips[0], "--pool", shared, *model, "--json")
    assert (status, err) == (0, "")
    left = {*HASHTAGS[6:], "tabbycat", "CoinedNow"}
    assert {hit["text"] for hit in json.loads(out)["guidance"]} == left  # the four that are asked for
    assert elsewhere("pool", "info", shared).returncode == 0  # this process has let go of it
    status, _, err = run("pool", "migrate", pool, shared)
    assert (status, "there is a pool already" in err) == (1, True)
    status, _, err = run("recommend", clips[0], "--pool", "milvus:shared")
    assert (status, "ends with .db" in err) == (1, True)


def test_a_pool_begins_in_milvus(run: Run, tmp_path: Path, tiny_bundle_dir: Path) -> None:
    pytest.importorskip("pymilvus")
    where = f"milvus:{tmp_path}/shared.db#drama"
    status, out, err = run("pool", "init", where, "--model", tiny_bundle_dir, "--index", "hnsw")
    assert (status, out, err) == (0, f"pool: {where} ({len(HASHTAGS)} hashtags)\n", "")
    status, _, err = run("pool", "init", f"{where}2", "--model", tiny_bundle_dir, "--index", "ivf")
    assert (status, "the index must be flat or hnsw" in err) == (1, True)
    status, _, err = run("pool", "info", f"{where}2")
    assert (status, "no pool there" in err) == (1, True)
