import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minimax as mm
from benchmarks import problems, record
from benchmarks.problem import Preset, Recipe
from benchmarks.record import UsageError
from benchmarks.runner import plan, setup, spec
from minimax.schedules import linear

TINY = str(Path(__file__).parents[1] / "tiny.py")
RECIPE = Recipe(mm.adam(2e-4, betas=(0.5, 0.999)), steps=(1, 5), order=(1, 0))


@pytest.fixture(scope="module")
def found():
    return problems.discover([TINY])


def planned(found, *specs, names=("tiny",), seeds=(0, 1), **sizes):
    chosen = [found[name] for name in names]
    return plan.cells(chosen, [s for text in specs for s in spec.parse(text)], seeds, plan.Sizes("cpu", **sizes))


def test_every_problem_file_is_discovered_and_every_suite_names_problems_that_exist(found):
    from benchmarks.suites import OPTIMIZERS, SUITES
    from minimax.optimizers import BY_NAME

    for names in SUITES.values():
        assert plan.choose(found, names)
    assert {one.optimizer for text in OPTIMIZERS for one in spec.parse(text)} <= set(BY_NAME)
    assert found["tiny"].source == TINY
    assert problems.load(found["bilinear"].source, "bilinear") is found["bilinear"].kind


@pytest.mark.parametrize(
    "text, settings",
    [
        ("extragradient", [()]),
        ("extragradient[lr=1e-3,3e-4]", [(("lr", 1e-3),), (("lr", 3e-4),)]),
        ("extragradient[lr=1e-3;fresh=true]", [(("lr", 1e-3), ("fresh", True))]),
        ("extragradient[lr=1e-3,fresh=true]", [(("lr", 1e-3), ("fresh", True))]),
        ("simultaneous[betas=(0.5,0.9),(0,0.9)]", [(("betas", (0.5, 0.9)),), (("betas", (0, 0.9)),)]),
        (" consensus [ gamma = 1 , 10 ; rule = sgd ] ", [(("gamma", g), ("rule", "sgd")) for g in (1, 10)]),
        (
            "lookahead[inner=optimistic,svre,k=5]",
            [(("inner", spec.Spec(name)), ("k", 5)) for name in ("optimistic", "svre")],
        ),
    ],
)
def test_specs_sweep(text, settings):
    assert [one.settings for one in spec.parse(text)] == settings


@pytest.mark.parametrize(
    "text, says",
    [
        ("extragradent", "did you mean extragradient"),
        ("extragradient[lr=1e-3", "malformed"),
        ("extragradient[1e-3]", "malformed"),
        ("extragradient[lr=]", "malformed"),
        ("extragradient[lr=1e-3,]", "malformed"),
        ("extragradient[lr=1;lr=2]", "twice"),
        ("extragradient[explor=1]", "did you mean explore"),
        ("extragradient[betas=(0.5]", "malformed"),
        ("extragradient[lr=0x]", "malformed"),
        ("", "malformed"),
        ("extragradient[gamma=1]", "is no parameter of extragradient"),
        ("extragradient[inner=svre]", "inner= to extragradient, which goes around no other .* lookahead"),
        ("unrolled[inner=sgd]", "inner= to unrolled, which goes around no other .* lookahead"),
        ("lookahead[inner=extragradent]", "no inner optimizer of lookahead: did you mean extragradient"),
        ("lookahead[inner=5]", "'5' is no inner optimizer of lookahead"),
        ("lookahead[inner=]", "malformed: write inner=NAME"),
        ("lookahead[inner=svre[snapshot=2]", "malformed"),
        ("lookahead[inner=svre]snapshot=2]", "malformed"),
        ("lookahead[inner=svre[snapshot=2]x]", "malformed: write inner=NAME"),
        ("lookahead[svre[snapshot=2]]", "has no parameter name"),
        ("lookahead[inner=svre;inner=optimistic]", "gives inner twice"),
        ("lookahead[inner=svre[snapshot=1;snapshot=2]]", "gives snapshot twice"),
        ("lookahead[inner=svre[snapshto=2]]", "did you mean snapshot"),
        ("lookahead[inner=svre[lr=1]]", "lr= to the inner svre.* beside the outermost inner="),
        ("lookahead[inner=halpern[inner=svre[betas=(0,1)]]]", "betas= to the inner svre.* outermost"),
    ],
)
def test_malformed_specs_are_refused_in_one_sentence(text, says):
    with pytest.raises(UsageError, match=says) as error:
        spec.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text, says",
    [
        ("simultaneous[lr=-1]", "lr must be"),
        ("simultaneous[lr=true]", "takes a number"),
        ("simultaneous[momentum=0.5]", "no parameter of the rule adam"),
        ("simultaneous[rule=adm]", "did you mean adam"),
        ("simultaneous[betas=0.5]", "takes a tuple"),
        ("extragradient[fresh=2]", "true or false"),
        ("consensus[gamma=-1]", "gamma must be"),
        ("alternating[steps=0]", "steps must be"),
        ("lookahead[inner=extragradient[fresh=2]]", "fresh of extragradient takes true or false"),
        ("lookahead[inner=halpern[inner=consensus[gamma=-1]]]", "gamma must be"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_in_one_sentence(text, says):
    (one,) = spec.parse(text)
    with pytest.raises(UsageError, match=says):
        setup.resolve(one, RECIPE)


def built(text, recipe=RECIPE):
    (one,) = spec.parse(text)
    return setup.resolve(one, recipe).build(10)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("halpern[inner=extragradient[fresh=true,false]]", ["extragradient[fresh=true]", "extragradient[fresh=false]"]),
        ("halpern[ inner = cgd , lola[] ]", ["cgd", "lola"]),
        (
            "halpern[inner=lookahead[inner=sga,sos;k=2,3]]",
            [f"lookahead[inner={i};k={k}]" for i in ("sga", "sos") for k in (2, 3)],
        ),
        ("halpern[inner=alternating[steps=(1,2),(2,1)]]", ["alternating[steps=(1,2)]", "alternating[steps=(2,1)]"]),
    ],
)
def test_sweeps_inside_a_wrapper_multiply_and_are_spelled_as_they_are_read(text, expected):
    specs = spec.parse(text)
    assert [str(one) for one in specs] == [f"halpern[inner={inner}]" for inner in expected]
    assert [one for shown in specs for one in spec.parse(str(shown))] == specs


def test_only_counts_are_held_against_the_length_of_the_run(found):
    assert planned(found, "golden-ratio[longest=1000000]", "consensus[gamma=5000]", "lookahead[k=1000]")
    assert planned(found, "svre[iterations=3000]", seeds=(0,), steps=5000)
    with pytest.raises(UsageError, match=r"iterations=3000 is more than the 40 steps"):
        planned(found, "svre[iterations=3000]")


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_a_spec_shows_the_very_numbers_it_was_given(lr):
    (one,) = spec.parse(f"simultaneous[lr={lr!r}]")
    (again,) = spec.parse(str(one))
    assert float(dict(again.settings)["lr"]) == lr


def test_one_rule_and_the_recipe_reach_every_level_of_a_wrapper():
    rule, sgd = mm.adam(2e-4, betas=(0.5, 0.999)), (mm.sgd(0.1), mm.sgd(0.2))
    inner = mm.AlternatingGDA(rule, steps=(1, 5), order=(1, 0))
    assert built("anderson-mixing[memory=2]") == mm.AndersonMixing(inner, memory=2)  # its usual one
    assert built("lookahead[inner=halpern[inner=alternating];k=2]") == mm.Lookahead(mm.Halpern(inner), k=2)
    assert built("halpern[inner=alternating[order=none]]") == mm.Halpern(replace(inner, order=None))
    assert built("lookahead[inner=lookahead[k=7]]") == mm.Lookahead(mm.Lookahead(mm.SimultaneousGDA(rule), k=7))
    two = built("lookahead[inner=extragradient[fresh=true];lr=(0.1,0.2);rule=sgd]")
    assert two == mm.Lookahead(mm.ExtraGradient(sgd, fresh=True))
    assert built("lookahead[inner=averaging[decay=0.5];decay=true]").inner.decay == 0.5  # β there, the rate's here


def test_the_recipe_is_what_the_spec_does_not_say():
    rule = mm.adam(2e-4, betas=(0.5, 0.999))
    assert built("simultaneous") == mm.SimultaneousGDA(rule)
    assert built("alternating") == mm.AlternatingGDA(rule, steps=(1, 5), order=(1, 0))
    assert built("alternating[steps=1,order=none]") == mm.AlternatingGDA(rule)
    assert built("extragradient[lr=1,explore=2]") == mm.ExtraGradient(mm.adam(1.0, betas=(0.5, 0.999)), explore=2.0)
    assert built("simultaneous[rule=sgd,lr=0.1,momentum=-0.5]") == mm.SimultaneousGDA(mm.sgd(0.1, momentum=-0.5))
    two = mm.SimultaneousGDA((mm.adam(1e-4, betas=(0.5, 0.999)), mm.adam(4e-4, betas=(0.5, 0.999))))
    assert built("simultaneous[lr=(1e-4,4e-4)]") == two
    decayed = built("simultaneous[decay=true]").rule.lr
    assert [decayed(torch.tensor(k)) for k in (0, 5, 10)] == [2e-4, 1e-4, 0.0]


def test_the_identity_holds_what_changes_the_numbers_and_nothing_else(found):
    (cell,) = planned(found, "extragradient", seeds=(0,))
    same = [replace(cell, preset="gpu"), replace(cell, source="elsewhere"), replace(cell, params="lr=0.05")]
    assert {other.run_id for other in same} == {cell.run_id}
    different = [
        replace(cell, seeds=(1,)),
        replace(cell, data="digits"),
        replace(cell, sizes=replace(cell.sizes, batch=5)),
        replace(cell, sizes=replace(cell.sizes, options={"width": 3})),
        replace(cell, setup=replace(cell.setup, rule=mm.adam(1.0))),
        replace(cell, setup=replace(cell.setup, fields={"explore": 2.0})),
        replace(cell, setup=replace(cell.setup, decay=False)),
        replace(cell, setup=replace(cell.setup, clip=1.0)),
        replace(cell, setup=replace(cell.setup, ema=10.0)),
        replace(cell, setup=replace(cell.setup, ema=linear(0.0, 10.0, 9))),
        replace(cell, setup=replace(cell.setup, ema=linear(0.0, 9.0, 9))),
        replace(cell, version=2),
    ]
    assert len({plan.digest(other.identity) for other in [cell, *different]}) == 13
    assert planned(found, "extragradient[explore=1;eps=1e-8;lr=0.05]", seeds=(0,))[0].run_id == cell.run_id
    assert cell.run_id.startswith("tiny-extragradient-s0-")
    assert json.loads(json.dumps(plan.describe(cell, found["tiny"].kind, 0.0)))["identity"]["seeds"] == [0]


def test_a_spec_overrides_the_schedule_of_an_average(found):
    cells = planned(found, "simultaneous", "simultaneous[ema=50]", names=("tiny-remembering",), seeds=(0,))
    assert [cell.setup.ema for cell in cells] == [linear(0.0, 6.0, 4), 50.0]
    assert cells[0].setup.identity["ema"] == {"linear": {"start": 0.0, "end": 6.0, "steps": 4}}


def test_the_identity_holds_what_is_inside_a_wrapper(found):
    texts = ["simultaneous", "extragradient", "extragradient[fresh=true]", "lookahead", "lookahead[k=2]"]
    cells = planned(found, "lookahead", *(f"lookahead[inner={text}]" for text in texts), seeds=(0,))
    assert len(cells) == len(texts)  # simultaneous play is inside where nothing is said
    assert [cell.spec for cell in cells[1:]] == [f"lookahead[inner={text}]" for text in texts[1:]]
    described = json.loads(json.dumps(plan.describe(cells[2], found["tiny"].kind, 0.0)))
    inner = {"optimizer": "extragradient", "fields": {"explore": 1.0, "fresh": True, "momentum": 0.0}}
    assert described["identity"]["optimizer"]["fields"] == {"k": 5, "alpha": 0.5, "inner": inner}
    (same,) = planned(found, "lookahead[inner=extragradient[explore=1;fresh=true]]", seeds=(0,))
    assert same.run_id == cells[2].run_id


def test_the_identity_is_the_same_in_every_process():
    cell = plan.Cell("p", "d", "cpu", Preset(1), setup.Setup("simultaneous"), "", (0,), "")
    assert cell.run_id == "p-d-simultaneous-s0-" + plan.digest(cell.identity)
    assert plan.digest({"b": (1, 2.0), "a": None}) == "cbbbaf2c"


def test_cells_are_ordered_seed_by_seed_and_named_once(found):
    cells = planned(found, "simultaneous", "extragradient[lr=0.05,0.1]", "extragradient", names=("tiny", "alone"))
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    assert len(cells) == 2 * (3 + 4) - 2  # on tiny, lr = 0.05 is the recipe as it is


def test_steps_replace_the_presets_and_unusable_data_leave_problems_out(found):
    (cell,) = planned(found, "simultaneous", seeds=(0,), steps=7)
    assert cell.sizes.steps == 7 and cell.problem_of(found["tiny"].kind, "cpu").preset.steps == 7
    cells = planned(found, "simultaneous", names=("tiny", "tiny-lost"), seeds=(0,), data="digits")
    assert [cell.problem for cell in cells] == ["tiny"]
    with pytest.raises(UsageError, match="no preset of tiny"):
        plan.cells([found["tiny"]], spec.parse("simultaneous"), [0], plan.Sizes("gpu"))


def test_problems_are_chosen_by_pattern(found):
    assert list(plan.choose(found, ["tiny-s*", "tiny"])) == ["tiny-slow", "tiny"]
    with pytest.raises(UsageError, match="did you mean"):
        plan.choose(found, ["tinny"])


def test_what_cannot_be_imported_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.py' is no Python file"):
        problems.discover([str(tmp_path / "nowhere.py")])
    (tmp_path / "broken.py").write_text("import sys\nsys.exit('no\\nway')")
    with pytest.raises(UsageError, match=r"broken\.py cannot be imported: SystemExit: no way"):
        problems.discover([str(tmp_path / "broken.py")])
    assert problems.discover([TINY, TINY])["tiny"].source == TINY
    (tmp_path / "twice.py").write_text(Path(TINY).read_text())
    with pytest.raises(UsageError, match="two problems are named"):
        problems.discover([TINY, str(tmp_path / "twice.py")])


def test_only_failed_and_forced_cells_start_anew(tmp_path):
    folder = record.Folder(tmp_path / "cell")
    for status, forced, kept in (("timeout", False, True), ("error", False, False), ("ok", True, False)):
        record.write_json(folder.cell, {"run_id": "cell"})
        folder.checkpoint.write_bytes(b"x")
        record.write_json(folder.status, {"status": status})
        plan.reset(folder, forced)
        assert folder.checkpoint.exists() is kept and not folder.status.exists()
