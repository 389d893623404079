"""A method is one file: put into methods/, it has its command, its cells, its row in the tables and its curves."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import write_small

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "checkpoint", "MNIST", "tests", "*.png")

# What the report would draw and write, without the pictures of the studies.
REPORT = """
import json, pathlib
from evidence import figures, records, report
from run.compare import PUBLISHED
drawn = {}

def save(figure, path):
    drawn[path.name] = [text.get_text() for legend in figure.legends for text in legend.get_texts()]

figures.save = save
runs, root = records.load_runs(), pathlib.Path(".")
figures.draw_accuracy(root / "accuracy", PUBLISHED, records.make_cells(runs), records.title)
figures.draw_curves(root / "curves", figures.by_method([*runs.values()], records.title, 0.02), "")
texts = report.texts()
root = records.ROOT
print(json.dumps({"drawn": drawn, "README": texts[root / "README.md"], "table": texts[root / "results/table.md"]}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository, without what is not needed, in a folder of its own with two methods more; and its small data."""
    root = tmp_path_factory.mktemp("copy") / "repository"
    shutil.copytree(ROOT, root, ignore=LEFT_OUT)
    (root / "dataset/MNIST").symlink_to(ROOT / "dataset/MNIST")
    text = (root / "methods/blindeye.py").read_text("utf-8")
    (root / "methods/mine.py").write_text(text.replace("blindeye", "mine").replace("BlindEye", "Mine"), "utf-8")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small(tmp_path_factory.mktemp("data"))


def run(root, *line):
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "PYTHONPATH": ""}
    return subprocess.run([sys.executable, *map(str, line)], cwd=root, env=environment, capture_output=True, text=True)


def train(root, data, name):
    flags = (
        f"train.py -e {name}_var0.020_seed1 --method {name} --color_var 0.02 --max_step 1 --random_seed 1 --threads 1"
    )
    return run(root, *flags.split(), "--device", "cpu", "--data_dir", data)


def test_a_copy_of_a_method_trains(copy, data):
    done = train(copy, data, "mine")
    assert done.returncode == 0, done.stderr
    assert "Mine at σ² = 0.02 on cpu, 1 epoch, lr 0.001, seed 1" in done.stdout + done.stderr
    metrics = json.loads((copy / "checkpoint/mine_var0.020_seed1/metrics.json").read_text("utf-8"))
    assert metrics["n"] == 64
    (record,) = (copy / "checkpoint/mine_var0.020_seed1/log.jsonl").read_text("utf-8").splitlines()
    assert {"confusion_loss", "bias_accuracy"} <= json.loads(record).keys()


def test_it_has_cells_in_the_grid(copy):
    done = run(copy, "reproduce.py", "--methods", "mine", "--dry-run", "--device", "cpu", "--save_dir", "grid")
    assert done.returncode == 0, done.stderr
    cells = [line for line in done.stdout.splitlines() if line.startswith("mine_var0.0")]
    assert len(cells) == 7
    assert all("20 epochs" in cell for cell in cells)


def test_it_has_a_row_and_a_curve(copy):
    for path in (copy / "results/runs").glob("blindeye_var0.02*_seed1"):  # what it would have measured
        made = path.with_name(path.name.replace("blindeye", "mine"))
        shutil.copytree(path, made)
        option = json.loads((made / "options.json").read_text("utf-8")) | {"method": "mine", "exp_name": made.name}
        (made / "options.json").write_text(json.dumps(option), "utf-8")
    done = run(copy, "-c", REPORT)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    row = next(line for line in made["README"].splitlines() if line.startswith("|**Mine**|"))
    assert row.startswith("|**Mine**|**0.6745**|")
    assert "| Mine | 0.02 | - | **0.6745** | - | - | 1 | 20 |" in made["table"]
    for name in ("accuracy", "curves"):
        assert "Mine" in made["drawn"][name]


def test_the_example_of_the_readme_trains(copy, data):
    example = re.search(r"```python\n(# methods/mine\.py\n.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[
        1
    ]
    assert len(example.splitlines()) <= 25
    (copy / "methods/mine.py").write_text(example, "utf-8")
    shutil.rmtree(copy / "checkpoint", ignore_errors=True)
    done = train(copy, data, "mine")
    assert done.returncode == 0, done.stderr
    assert "LNTL, focal at σ² = 0.02" in done.stdout + done.stderr
    option = json.loads((copy / "checkpoint/mine_var0.020_seed1/options.json").read_text("utf-8"))
    assert option["gamma"] == 2.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("class Mine(\n", "methods/other.py cannot be loaded (SyntaxError"),
        ("import nowhere\n", "methods/other.py cannot be loaded (ModuleNotFoundError"),
        (
            "from methods.lntl import LNTL\nclass Mine(LNTL):\n    name = 'lntl'\n",
            "methods.lntl and methods.other have a method called lntl; give one of them another name",
        ),
    ],
)
def test_a_method_with_a_mistake_is_named(copy, text, why):
    (copy / "methods/other.py").write_text(text)
    try:
        failed = run(copy, "train.py", "--help")
    finally:
        (copy / "methods/other.py").unlink()
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"errors.UserError: {why}")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("number(float, 0, 1000), 0.3", "[blindeye 0.1, other 0.3]"),
        ("number(float, 0, 5), 0.1", "--alpha of other takes other values than that of blindeye"),
    ],
)
def test_a_flag_of_two_methods_is_one_and_the_same(copy, declared, said):
    text = (copy / "methods/blindeye.py").read_text("utf-8")
    changed = text.replace("number(float, 0, 1000), 0.1", declared)
    assert changed != text
    path = copy / "methods/other.py"
    path.write_text(changed.replace("blindeye", "other").replace("BlindEye", "Other"), "utf-8")
    try:
        done = run(copy, "train.py", "--help")
    finally:
        path.unlink()
    shown = " ".join((done.stdout or done.stderr).split())
    assert said in shown
    assert done.returncode == (2 if done.stderr else 0)
    assert done.stderr.count("\n") <= 1
