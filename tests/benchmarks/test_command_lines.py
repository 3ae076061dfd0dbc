"""Command lines that make no sense: each is refused with status 2, in one line, before anything is written."""

import os
import time
from pathlib import Path

import pytest

from benchmarks import report, run

TINY = str(Path(__file__).with_name("tiny.py"))
HERE = os.fspath(Path(__file__).parent)

ALONE = "-p alone -o simultaneous"
OPTIONS = [
    # unknown names
    ("--suite gan", "'gan' is no suite: did you mean gans?"),
    ("--suite nothing-like-it", "choose from games, "),
    ("--suite GANS", "no suite"),
    ("--suite gans,games", "no suite"),
    ("--suite *", "'*' is no suite"),
    ("--suite ''", "argument --suite: '' says nothing"),
    ("--suite gans -p ring8", "'ring8' is no problem of --suite gans: "),
    ("--suite gans --suite games -p gan -p ring8", "'ring8' is no problem of --suite gans, games: "),
    ("-p dcgn", "'dcgn' is no problem: did you mean dcgan?"),
    ("-p ''", "argument -p/--problem: '' says nothing"),
    ("-p ' '", "says nothing"),
    ("-p nothing-[a-z", "is no problem"),
    ("-p 'alone tiny'", "is no problem"),
    ("-p ГАН", "'ГАН' is no problem"),
    ("-p dcgan\n", "is no problem"),
    ("", "name a suite"),
    ("--seeds 0", "name a suite"),
    ("--sede 3", "'--sede' is no option: did you mean --seeds?"),
    ("--Seeds 3", "no option"),
    ("--problems alone", "'--problems' is no option: did you mean --problem?"),
    ("alone", "'alone' is no option"),
    *((f"{ALONE} --shard {part}", "write 2/8 for the second of eight") for part in ("0/2", "3/2", "2", "a/b")),
    (f"{ALONE} extra words", "'extra' is no option"),
    (f"{ALONE} -x", "'-x' is no option"),
    (f"{ALONE} --download=yes", "argument --download"),
    (f"{ALONE} --dry-run=1", "argument -n/--dry-run"),
    (f"{ALONE} --opt simultaneous", "'--opt' is no option: did you mean --optimizer?"),
    # options without their value, or twice
    ("-p", "argument -p/--problem: expected one argument"),
    ("--suite", "argument --suite: expected one argument"),
    (f"{ALONE} --seeds", "argument --seeds: expected one argument"),
    (f"{ALONE} --results", "argument --results: expected one argument"),
    (f"{ALONE} --seeds 0 --seeds 1", "argument --seeds: is given twice"),
    (f"{ALONE} --steps 5 --steps 5", "argument --steps: is given twice"),
    (f"{ALONE} -j 1 --jobs 2", "argument -j/--jobs: is given twice"),
    (f"{ALONE} --preset smoke --preset cpu", "argument --preset: is given twice"),
    (f"{ALONE} --device cpu --device cpu", "argument --device: is given twice"),
    (f"{ALONE} --data digits --data mnist", "argument --data: is given twice"),
    # seeds
    *(
        (f"{ALONE} --seeds {value}", f"argument --seeds: '{value}'")
        for value in [
            *("x", "-1", "1-", "-", "1--2", "4-2", "0-1-2", "0,,1", ",", "0,", "1.5", "1e3", "0x1", "0:3", "a-b", "+1"),
            *("1_000", "٣", "²", "0;1", "0..3", "100000000000", "999999999999999999999999", "0-99999999999", "0-5000"),
            *("true", "nan", "inf", "0-1,5-3", "½"),
        ]
    ),
    (f"{ALONE} --seeds ''", "argument --seeds: ''"),
    (f"{ALONE} --seeds {'9' * 5000}", "argument --seeds: '999"),
    # numbers
    *(
        (f"{ALONE} --{name} {value}", f"--{name}: '{value}' is no whole number from 1 to")
        for name in ("jobs", "threads", "steps")
        for value in ("0", "-1", "1.5", "1e9", "nan", "x", "1_0", "²", "99999999999999", "+2", "0x10")
    ),
    (f"{ALONE} --steps 1000000001", "'1000000001' is no whole number from 1 to 1000000000"),
    (f"{ALONE} -j ''", "argument -j/--jobs: ''"),
    *(
        (f"{ALONE} --timeout {value}", f"argument --timeout: '{value}' is no number of seconds above 0")
        for value in ("0", "-1", "nan", "x", "1h", "1,5", "1e-999")
    ),
    # choices
    (f"{ALONE} --preset huge", "argument --preset: invalid choice: 'huge'"),
    (f"{ALONE} --preset gpu", "'gpu' is no preset of alone"),
    (f"{ALONE} --timeout -inf", "argument --timeout: expected one argument"),
    (f"{ALONE} --preset ''", "argument --preset: '' says nothing"),
    (f"{ALONE} --axis time", "argument --axis: invalid choice: 'time'"),
    (f"{ALONE} --retry all", "argument --retry: invalid choice: 'all'"),
    (f"{ALONE} --force nothing-*", "--force 'nothing-*' matches no run of this plan, such as alone-simultaneous-s0-"),
    (f"{ALONE} --force ''", "argument --force: '' says nothing"),
    # devices
    *(
        (f"{ALONE} --device {name}", f"--device '{name}' is no device to play on: choose cpu")
        for name in (
            *(
                "gpu",
                "meta",
                "mps",
                "xpu",
                "vulkan",
                "cpu:7",
                "cpu:0",
                "cuda:",
                "cuda:x",
                "cuda:-1",
                "CPU",
                "hip",
                "xla",
            ),
            *("cpu,cuda", "cuda:1:2", "cuda:²", "privateuseone", "0"),
        )
    ),
    (f"{ALONE} --device cuda:99", "--device cuda:99: torch finds"),
    (f"{ALONE} --device ''", "argument --device: '' says nothing"),
    # data
    ("-p dcgan --data mnis", "'mnis' is no data set: did you mean mnist?"),
    ("-p dcgan --data ''", "argument --data: '' says nothing"),
    ("-p dcgan --data folder", "'folder' is no data set"),
    ("-p dcgan --data folder:", "--data folder:: no folder is named"),
    ("-p dcgan --data 'folder: '", "no folder is named"),
    ("-p dcgan --data folder:/nowhere/at/all", "'/nowhere/at/all' is no folder"),
    (f"-p dcgan --data folder:{TINY}", "tiny.py' is no folder"),
    ("-p dcgan --data folder:/dev/null", "'/dev/null' is no folder"),
    (f"-p dcgan --data folder:/{'x' * 300}", "is no folder"),
    ("-p dcgan --data folder:~nobody-here/pictures", "is no folder"),
    ("-p vae --data cifar10", "--data cifar10: none of the problems can be played on it"),
    ("-p bilinear --data digits", "--data digits: none of the problems takes data"),
    ("-p dcgan --data-root /nowhere", "--data-root /nowhere is no folder"),
    ("-p dcgan --data-root ~nobody-here", "--data-root ~nobody-here is no folder"),
    (f"-p dcgan --data-root /{'x' * 300}", "is no folder"),
    (f"-p dcgan --data-root {TINY}", "tiny.py is no folder"),
    ("-p dcgan --data-root ''", "argument --data-root: '' says nothing"),
    # files
    ("--import nowhere.py", "--import 'nowhere.py' is no Python file"),
    ("--import nowhere", "--import 'nowhere' is no Python file"),
    (f"--import {HERE}", "is no Python file"),
    ("--import ''", "argument --import: '' says nothing"),
    ("--import /dev/null", "is no Python file"),
    (f"--import {'x' * 300}.py", "is no Python file"),
    ("--import os", "is no Python file"),
]

SPECS = [
    # names and brackets
    ("", "says nothing"),
    (" ", "says nothing"),
    ("extragradent", "did you mean extragradient?"),
    ("Extragradient", "did you mean extragradient?"),
    ("adam", "'adam' is no optimizer"),
    ("extragradient,optimistic", "is no optimizer"),
    ("экстраградиент", "is no optimizer"),
    ("🎲", "'🎲' is no optimizer"),
    ("[]", "is malformed"),
    ("[lr=1]", "is malformed"),
    ("extragradient[", "is malformed"),
    ("extragradient]", "is malformed"),
    ("extragradient[lr=1", "is malformed"),
    ("extragradient lr=1", "is no optimizer"),
    ("extragradient(lr=1)", "is no optimizer"),
    ("extragradient[lr=1]]", "is malformed"),
    ("extragradient[[lr=1]]", "is malformed"),
    ("extragradient[lr=1][fresh=true]", "is malformed"),
    ("extragradient[lr=(1,2]", "is malformed"),
    ("extragradient[lr=1,2)]", "is malformed"),
    ("extragradient[lr=]", "is malformed"),
    ("extragradient[=1]", "is no parameter of extragradient"),
    ("extragradient[lr]", "is malformed"),
    ("extragradient[1e-3]", "is malformed"),
    ("extragradient[lr=1;;fresh=true]", "is malformed"),
    ("extragradient[lr=1;]", "is malformed"),
    ("extragradient[;]", "is malformed"),
    ("extragradient[lr=1;lr=2]", "gives lr twice"),
    ("extragradient[lr==1]", "is malformed"),
    ("extragradient[learning_rate=1]", "'learning_rate' is no parameter of extragradient"),
    ("extragradient[explor=1]", "did you mean explore?"),
    ("extragradient[λ=1]", "'λ' is no parameter"),
    ("extragradient[gamma=1]", "is no parameter of extragradient"),
    # nested
    ("lookahead[inner=]", "is malformed"),
    ("lookahead[inner=lookahead]]", "is malformed"),
    ("lookahead[inner=nothing]", "'nothing' is no inner optimizer of lookahead"),
    ("lookahead[inner=optimistic[inner=sga]]", "gives inner= to optimistic"),
    ("lookahead[inner=optimistic[lr=1]]", "write lr= beside the outermost inner="),
    ("lookahead[inner=extragradient[explore=x]]", "explore of extragradient takes a number, got x"),
    ("lookahead[inner=lookahead[inner=lookahead[k=1.5]]]", "k of lookahead takes a whole number, got 1.5"),
    ("lookahead[inner=svre[iterations=1000000000]]", "iterations=1000000000 is more than the"),
    ("extragradient[inner=sga]", "goes around no other optimizer"),
    # values: what is no finite number
    *(
        (f"simultaneous[lr={value}]", "is malformed")
        for value in ("inf", "-inf", "nan", "NaN", "Infinity", "1e", "1,,2", "0x1", "1_0", "٣", "½", "1 2", "--1", "$x")
    ),
    ("simultaneous[lr=1e999]", "1e999 is too large for a number"),
    ("simultaneous[lr=1e-999]", "1e-999 is too small for a number"),
    (f"simultaneous[lr={'9' * 400}]", "is too large for a number"),
    ("simultaneous[lr=fast]", "lr takes a number or a tuple, one value a player, got fast"),
    ("simultaneous[lr=true]", "lr takes a number or a tuple, one value a player, got true"),
    ("simultaneous[lr=none]", "got none"),
    ("simultaneous[lr=-1]", "lr must be"),
    ("simultaneous[lr=-0.001]", "lr must be"),
    ("simultaneous[momentum=nan]", "is malformed"),
    ("simultaneous[rule=sgd;momentum=nan]", "is malformed"),
    ("consensus[gamma=inf]", "is malformed"),
    ("consensus[gamma=-1]", "gamma must be"),
    ("extragradient[explore=-1]", "explore must be"),
    ("averaging[power=-1]", "power must be"),
    ("svre[iterations=0]", "iterations must be"),
    ("golden-ratio[phi=5]", "phi must be"),
    ("simultaneous[rule=rmsprop;eps=-1]", "eps must be"),
    # values: tuples
    ("simultaneous[lr=()]", "is malformed"),
    ("simultaneous[lr=(0.1)]", "lr=(0.1) does not fit 2 players: give one value for all, or other"),
    ("simultaneous[lr=(1,2,3)]", "lr=(1,2,3) does not fit 2 players"),
    ("simultaneous[lr=(1,)]", "lr=(1) does not fit 2 players"),
    ("simultaneous[lr=(1,-2)]", "lr must be"),
    ("simultaneous[lr=((1,2),3)]", "is malformed"),
    ("simultaneous[betas=0.5]", "betas takes a tuple of 2, got 0.5"),
    ("simultaneous[betas=(0.5)]", "betas takes a tuple of 2, got (0.5)"),
    ("simultaneous[betas=(0.5,0.9,0.99)]", "betas takes a tuple of 2, got (0.5,0.9,0.99)"),
    ("simultaneous[betas=(0.5,x)]", "betas takes a number, got x"),
    ("simultaneous[betas=(0.5,1.5)]", "betas"),
    ("alternating[steps=(1,2,3)]", "steps=(1,2,3) does not fit 2 players"),
    ("alternating[steps=0]", "steps must be"),
    ("alternating[steps=1.5]", "steps of alternating takes a whole number"),
    ("alternating[order=(0,0)]", "order must be"),
    ("alternating[order=(0,1,2)]", "order=(0,1,2) does not fit 2 players"),
    ("alternating[order=1]", "order of alternating takes"),
    ("lookahead[k=(1,2)]", "k of lookahead takes a whole number, got (1,2)"),
    # values: wrong kinds
    ("lookahead[k=1.5]", "k of lookahead takes a whole number, got 1.5"),
    ("lookahead[k=0]", "k must be"),
    ("lookahead[k=true]", "k of lookahead takes a whole number, got true"),
    ("svre[iterations=1e9]", "iterations of svre takes a whole number, got 1e+09"),
    ("svre[iterations=1000000000]", "iterations=1000000000 is more than the"),
    ("svre[snapshot=99999999999999999999]", "is more than the"),
    ("unrolled[steps=100000]", "steps=100000 is more than the"),
    ("alternating[steps=(1,100000)]", "steps=(1,100000) is more than the"),
    ("extragradient[fresh=2]", "fresh of extragradient takes true or false, got 2"),
    ("extragradient[fresh=yes]", "fresh of extragradient takes true or false, got yes"),
    ("averaging[decay=abc]", "decay of averaging takes a number or none, got abc"),
    ("averaging[decay=true]", "decay of averaging takes a number or none, got true"),
    ("averaging[decay=2]", "decay must"),
    # rules
    ("simultaneous[rule=adm]", "'adm' is no rule: did you mean adam?"),
    ("simultaneous[rule=5]", "'5' is no rule"),
    ("simultaneous[rule=(sgd,adam)]", "'(sgd,adam)' is no rule"),
    ("simultaneous[momentum=0.5]", "momentum is no parameter of the rule adam"),
    ("simultaneous[rule=sgd;betas=(0,1)]", "betas is no parameter of the rule sgd"),
    ("simultaneous[rule=sgd;nesterov=1]", "nesterov takes true or false, got 1"),
    ("simultaneous[amsgrad=0]", "amsgrad takes true or false, got 0"),
    ("simultaneous[decay=0.5]", "decay takes true or false, got 0.5"),
    # sweeps without end
    ("extragradient[" + ";".join(f"{name}={','.join(['1'] * 30)}" for name in ("lr", "explore", "eps")) + "]", "10000"),
]


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Run a command and return the line that it is refused with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))

    def check(words, main=run.main):
        began = time.monotonic()
        try:
            status = main(words)
        except SystemExit as error:
            status = error.code
        out, err = capsys.readouterr()
        assert status == 2 and out == ""
        assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err
        assert len(err) < 1000 and time.monotonic() - began < 30  # whatever else the machine does
        assert not list(tmp_path.iterdir())
        return err

    return check


def words_of(line):
    """As a shell would split it, but for line breaks, which stay."""
    out, quoted = [""], False
    for sign in line:
        if sign == "'":
            quoted = not quoted
        elif sign == " " and not quoted:
            out.append("")
        else:
            out[-1] += sign
    return [word for k, word in enumerate(out) if word or (k and out[k - 1].startswith("-")) or line == "''"]


@pytest.mark.parametrize("line, says", OPTIONS, ids=[line[:60] for line, _ in OPTIONS])
def test_options_that_make_no_sense(refused, line, says):
    own = [] if "--import" in line or line in ("", "--seeds 0") else ["--import", TINY]
    assert says in refused([*own, *words_of(line)])


REPORTS = [
    ("", "arguments are required: folder"),
    ("''", "argument folder: '' says nothing"),
    ("nowhere", "nowhere cannot be read (No such file or directory): name the folder of a suite's results"),
    (TINY, "tiny.py cannot be read (Not a directory)"),
    ("/dev/null", "/dev/null cannot be read (Not a directory)"),
    (HERE, "holds no cells"),
    ("x" * 300, "cannot be read (File name too long)"),
    (f"{HERE} --axis time", "argument --axis: invalid choice: 'time'"),
    (f"{HERE} --axis steps --axis steps", "is given twice"),
    (f"{HERE} --tensorboard {TINY}", "tiny.py is no folder"),
    (f"{HERE} --paper=yes", "argument --paper: ignored explicit argument 'yes'"),
    (f"{HERE} --tensorbord logs", "'--tensorbord' is no option: did you mean --tensorboard?"),
]


@pytest.mark.parametrize("line, says", REPORTS, ids=[line[:60] for line, _ in REPORTS])
def test_reports_that_make_no_sense(refused, line, says):
    assert says in refused(words_of(line), report.main)


@pytest.mark.parametrize("text, says", SPECS, ids=[text[:60] for text, _ in SPECS])
def test_optimizers_that_make_no_sense(refused, text, says):
    assert says in refused(["--import", TINY, "-p", "tiny", "-o", text, "--device", "cpu", "--preset", "cpu"])


PLACES = {
    "file": lambda root: (root / "file").write_text("x") and root / "file",
    "below a file": lambda root: (root / "file").write_text("x") and root / "file" / "deep" / "er",
    "dangling link": lambda root: link(root / "link", root / "nowhere"),
    "below a dangling link": lambda root: link(root / "link", root / "nowhere") / "results",
    "link to itself": lambda root: link(root / "link", root / "link"),
    "pipe": lambda root: pipe(root / "pipe"),
    "long name": lambda root: root / ("x" * 300),
    "long path": lambda root: root.joinpath(*["x" * 200] * 18),
    "suite that is a file": lambda root: (root / "custom").write_text("x") and root,
    "cells that are a link": lambda root: link(root / "custom" / "cells", root / "nowhere").parents[1],
    "device": lambda root: Path("/dev/null"),
    "process": lambda root: Path("/proc/self/nothing"),
}


def link(path, target):
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    return path


def pipe(path):
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("place", PLACES)
def test_places_that_take_no_results(place, tmp_path, capsys):
    path = PLACES[place](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    words = ["--import", TINY, "-p", "alone", "-o", "simultaneous", "--device", "cpu", "--results", str(path)]
    assert run.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --results ") and err.count("\n") == 1 and "name " in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "code, says",
    [
        ("", "holds no problem: name one with -p"),
        ("def broken(:\n  pass", "own.py cannot be imported: SyntaxError"),
        ("raise SystemExit('no\\nway')", "own.py cannot be imported: SystemExit: no way"),
        ("import nothing_of_that_name", "own.py cannot be imported: ModuleNotFoundError"),
        ("1 / 0", "own.py cannot be imported: ZeroDivisionError"),
    ],
)
def test_files_without_a_problem(code, says, tmp_path, capsys):
    (tmp_path / "own.py").write_text(code)
    assert run.main(["--import", str(tmp_path / "own.py"), "--results", str(tmp_path / "out"), "--device", "cpu"]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_place_that_may_not_be_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # who runs this may be allowed everything
    assert run.main(["--import", TINY, "-p", "alone", "--device", "cpu", "--results", str(tmp_path / "out")]) == 2
    assert f"{tmp_path} cannot be written into; name another folder" in capsys.readouterr().err


def test_folders_of_other_things_than_images_are_passed_over_or_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "a $HOME `x` папка"
    folder.mkdir()
    pipe(folder / "pipe.png")
    link(folder / "loop", folder)
    words = ["--import", TINY, "-p", "dcgan", "-o", "simultaneous", "--seeds", "0", "--preset", "smoke"]
    words += ["--device", "cpu", "--data", f"folder:{folder}", "--results", str(tmp_path / "out")]
    for more in ([], ["--dry-run"]):
        assert run.main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert "holds 0 images" in err and "at least 60" in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("benchmarks.data.folders.ENTRIES", 3)
    for k in range(4):
        (folder / f"{k}.txt").touch()
    assert run.main(words) == 2
    assert "more than 3 files" in capsys.readouterr().err
