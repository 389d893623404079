"""The documents: short enough, links and names of files that lead somewhere, commands that exist, examples that run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import option
import reproduce

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "checkpoints/README.md", ROOT / "dataset/README.md"]
)
EXAMPLES = {
    f"{path.relative_to(ROOT)} {number}": code
    for path in DOCUMENTS
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL), 1)
}
PARSERS = {"train.py": option.train_parser, "test.py": option.test_parser, "reproduce.py": reproduce.parser}
OF_TUNE = ("--trials",)  # beside the flags of train.py


def named(path):
    return path.relative_to(ROOT).as_posix()


def anchors(path):
    """The anchors that GitHub gives to the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_the_documents_are_short():
    """Together 10,000 words beside their tables."""
    texts = [path.read_text("utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))]
    assert sum(len(re.sub(r"^\|.*$|<!--.*?-->", "", text, flags=re.MULTILINE).split()) for text in texts) <= 10_000


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        if file.startswith("http"):
            continue
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_files_that_are_named_exist(path):
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    for name in re.findall(r"`([\w./]+\.(?:py|sh|md|png|toml))`", text):
        of_runs = ("methods/mine.py", "main.py", "confusion_matrix.png")  # the reader's, the original's, a run's
        assert name in of_runs or any((folder / name).exists() for folder in (ROOT, path.parent)), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_have_the_flags_that_they_are_given(path):
    text = path.read_text("utf-8")
    blocks = [code for language, code in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if not language]
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(python [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in lines:
        line = re.sub(r"(--methods?) mine", r"\1 lntl", line).replace("--dataset bars", "--dataset colored_mnist")
        words = shlex.split(line, comments=True) if line.startswith("python ") else [None, None]
        if not {"FLAGS", "--help"} & {*words} and words[1] in PARSERS:
            PARSERS[words[1]]().parse_args(words[2:])
        elif words[1] == "tune.py":
            own = [i for i, word in enumerate(words) if word in OF_TUNE]
            PARSERS["train.py"]().parse_args([w for i, w in enumerate(words[2:], 2) if not {i, i - 1} & {*own}])


@pytest.mark.parametrize("name", [n for n, code in EXAMPLES.items() if not code.startswith("# methods/")])
def test_examples_run_as_they_stand(name, tmp_path):
    (tmp_path / "learning-not-to-learn").symlink_to(ROOT)
    outside = "torch.hub" in EXAMPLES[name]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "PYTHONPATH": "" if outside else str(ROOT)}
    line = [sys.executable, "-W", "error::RuntimeWarning", "-c", EXAMPLES[name]]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    if outside:
        assert 0.9 < float(re.search(r"0\.\d+", done.stdout)[0]) < 1  # LNTL+ on 1,000 test images
    if "update_b" in EXAMPLES[name]:
        losses, accuracies = zip(*re.findall(r"loss (\S+), unbiased accuracy (\S+)", done.stdout), strict=True)
        assert all(0 <= float(loss) < 10 for loss in losses)
        plain, unlearned = map(float, accuracies)
        assert plain < 0.75 < unlearned
        assert len(EXAMPLES[name].splitlines()) <= 30
