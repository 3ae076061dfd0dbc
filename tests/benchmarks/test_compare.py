"""Two results folders side by side, through the command."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import compare, record
from benchmarks.reporting import changes, tables
from tests.benchmarks.reporting import synthetic

ROOT = Path(__file__).parents[2]
PLAIN = {"alternating": 0.0, "extragradient": 0.0}


def told(capsys, *folders):
    assert compare.main([str(folder) for folder in folders]) == 0
    return capsys.readouterr().out


def rows(found):
    return {(row[0], row[1]): dict(zip(changes.COLUMNS, row, strict=True)) for row in found.rows}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("two")
    synthetic.suite(home / "a", ("one", "two"), optimizers=PLAIN, pictured=False)
    better = {"alternating": 0.0, "extragradient": 0.8, "optimistic": 0.0}
    lost = [("two", "alternating", seed) for seed in range(9)]
    synthetic.suite(home / "b", ("one", "two", "three"), optimizers=better, pictured=False, lost=lost, luck=101)
    return home / "a", home / "b"


def test_what_changed_is_told_from_noise(folders):
    found = changes.between(*map(changes.read, folders))
    by = rows(found)
    assert by.keys() == {(title, label) for title in ("one", "two") for label in PLAIN}
    assert by["one", "extragradient"]["verdict"] == by["two", "extragradient"]["verdict"] == "better"
    assert (
        by["one", "alternating"]["verdict"] == "no difference found" and by["two", "alternating"]["verdict"] == "worse"
    )
    assert by["two", "alternating"]["lost"] == "0 → 9" and by["two", "alternating"]["median"].endswith("∞")
    assert found.powers[0].startswith("10 seeds a problem, 4 comparisons: who wins")
    assert sorted(found.notes) == [
        "one: only in the second: optimistic",
        "three: only in the second: alternating, extragradient, optimistic",
        "two: only in the second: optimistic",
    ]


def test_the_other_way_round_is_the_other_way_round(folders):
    there, back = (rows(changes.between(*map(changes.read, pair))) for pair in (folders, folders[::-1]))
    turned = {"better": "worse", "worse": "better"}
    for key, row in there.items():
        assert back[key]["verdict"] == turned.get(row["verdict"], row["verdict"])
        assert back[key]["p"] == row["p"]


def test_a_folder_is_the_same_as_itself_and_as_its_own_csv(folders, tmp_path, capsys):
    tables.write(tmp_path, tables.load(folders[1]))
    for other in (folders[1], tmp_path):
        found = changes.between(changes.read(folders[1]), changes.read(other))
        assert len(found.rows) == 9 and not found.notes
        assert {row[-1] for row in found.rows} == {"the same numbers"}
    assert "the same numbers" in told(capsys, folders[1], tmp_path)


def test_another_game_is_not_compared(folders):
    first, second = map(changes.read, folders)
    found = changes.between(first, second.assign(version=second.version.where(second.title != "one", 2)))
    assert {row[0] for row in found.rows} == {"two"}
    assert "one: not compared, as it is another game (version 1 and 2)" in found.notes


def test_few_seeds_conclude_nothing(tmp_path, capsys):
    for name, shift in (("a", 0.0), ("b", 9.0)):
        synthetic.suite(tmp_path / name, ("one",), seeds=4, optimizers={"sga": shift}, pictured=False)
    said = told(capsys, tmp_path / "a", tmp_path / "b")
    assert "too few seeds (fewer than 5)" in said and "4 seeds a problem: nothing is concluded" in said


def test_nothing_in_common_says_so(folders, tmp_path, capsys):
    synthetic.suite(tmp_path, ("other",), seeds=1, pictured=False)
    said = told(capsys, folders[0], tmp_path)
    assert (
        said.startswith("no optimizer was played on the same problem in both\n") and "other: only in the second" in said
    )


@pytest.mark.parametrize("name", ["gans", "mixtures", "games"])
def test_committed_tables_are_read(name, capsys):
    """Those of the first version too, in which a flagged run was called collapsed."""
    said = told(capsys, *[ROOT / "results" / name] * 2)
    assert "the same numbers" in said and "better\n" not in said
    runs = changes.read(ROOT / "results" / name)
    assert tables.is_flagged(runs).sum() == {"gans": 3, "mixtures": 4}.get(name, tables.is_flagged(runs).sum())


def broken(folder, text):
    (folder / "runs.csv").write_text(text)
    return folder


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda folder: folder / "nowhere", "holds neither cells nor runs.csv: name the folder"),
        (lambda folder: folder, "holds neither cells nor runs.csv"),
        (lambda folder: broken(folder, "title,label\np,a\n"), "has no column seed, status, "),
        (lambda folder: broken(folder, ""), "cannot be read"),
        (lambda folder: broken(folder, '"'), "cannot be read"),
        (lambda folder: (folder / "file").write_text("") or folder / "file", "holds neither"),
    ],
)
def test_folders_that_make_no_sense(tmp_path, capsys, make, says):
    assert compare.main([str(ROOT / "results" / "gans"), str(make(tmp_path))]) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and not said.out


@pytest.mark.parametrize("words", [[], ["a"], ["a", "b", "c"], ["a", ""], ["a", "b", "--axis"]])
def test_commands_that_make_no_sense(words, capsys):
    with pytest.raises(SystemExit) as left:
        compare.main(words)
    assert left.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_cells_come_before_tables(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "both")
    (tmp_path / "both" / "runs.csv").write_text("nonsense")
    assert len(changes.read(tmp_path / "both")) == 40
    assert isinstance(changes.read(tmp_path / "both"), pd.DataFrame)


def test_a_folder_of_another_version_is_refused(folders, tmp_path, capsys):
    shutil.copytree(folders[0], tmp_path / "old")
    record.write_json(tmp_path / "old" / "cells" / "schema.json", {"schema": 1})
    assert compare.main([str(folders[0]), str(tmp_path / "old")]) == 2
    assert "results of schema 1" in capsys.readouterr().err
