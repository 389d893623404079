"""Evaluates the weights of an experiment, or any weights file, on the test images.

python test.py -e lntl_var0.020                                       # checkpoint/lntl_var0.020/final.pth
python test.py checkpoints/lntl_var0.020.pth
python test.py -e birds --images new_photographs --out predictions.csv
python test.py unnamed.pth --method baseline --color_var 0.02         # where neither the file nor its name tells

Method, variance and data are those of the weights. The metrics.json of a run is written by its own evaluation alone: of
its final.pth, on its own test images. Every other evaluation goes to a file of its own name.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import option as options
from common import same_path
from common.errors import UserError, exits
from dataset import data_sets
from dataset.base import DataSet
from dataset.pictures import extensions, rgb
from methods import METHODS
from models.checkpoint import check_names, load_weights, read_torch_file
from models.shipped import sha256_of
from run import recorded
from run.device import choose_device
from run.evaluate import evaluate_all, report
from run.folder import read_options
from run.networks import build
from run.predict import predict

HERE = {"device", "cuda", "threads", "cudnn_benchmark", "workers"}  # of this command, not of the record
WORDS = {name: name for name in sorted(METHODS, key=len, reverse=True)} | {"pretrained": "baseline"}  # in file names
METHOD = re.compile(rf"(?<![a-z])({'|'.join(WORDS)})(?![a-z])")
VARIANCE = re.compile(r"var_?([01]\.[0-9]+)")


def find_weights(given):
    """(path of the weights, folder of the experiment or None) that the flags name. Raises UserError."""
    file, checkpoint, name = given.pop("file", None), given.pop("checkpoint", None), given.get("exp_name")
    if file and checkpoint and not same_path(file, checkpoint):
        raise UserError(f"{file} and --checkpoint {checkpoint} are two files; give one of them")
    run = Path(given.get("save_dir", "checkpoint"), name) if name else None
    if not (file or checkpoint or run):
        raise UserError("there is nothing to evaluate; give an experiment, -e NAME, or a weights file")
    weights = Path(file or checkpoint or run / "final.pth")
    if not weights.exists():
        what = "does not exist" if file or checkpoint else f"does not exist: {run} has not been trained to its end"
        train_first = f"train first (train.py -e {name}), or " if name else ""
        raise UserError(f"{weights} {what}; {train_first}give another weights file")
    if run is None and (weights.parent / "options.json").exists():
        run = weights.resolve().parent
    return weights, run


def unfinished(content, run):
    """The epoch of weights of a run that goes on to another one; None where they are its last, or nobody knows."""
    step, last = (content.get("step") if isinstance(content, dict) else None), read_options(run).get("max_step")
    return step if None not in (step, last) and step != last else None


def said_of(weights, content):
    """The options with which weights were trained: by the file, by the run in whose folder it lies, or by its name."""
    option = content.get("option") if isinstance(content, dict) else None
    if isinstance(option, dict) and {"method", "dataset", "color_var"} & option.keys():
        return recorded.sound(options.train_parser, option, weights)
    if found := read_options(weights.resolve().parent):
        return recorded.sound(options.train_parser, found, weights.resolve().parent / "options.json")
    said = {}
    for text in (weights.resolve().parent.name, weights.name):
        for name, values in (
            ("method", {WORDS[word] for word in METHOD.findall(text)}),
            ("color_var", {float(number) for number in VARIANCE.findall(text)}),
        ):
            if len(values) == 1:
                said[name] = values.pop()
    return said


def merge(weights, said, given):
    """(options of the evaluation, what contradicts the weights): those said of them, and those given. Raises UserError.

    Whether another --data_dir has the same data is seen once it is loaded.
    """
    if given.pop("train_baseline", False) and given.setdefault("method", "baseline") != "baseline":
        raise UserError(f"--train_baseline and --method {given['method']} contradict each other; give one of them")
    told = {k: v for k, v in recorded.usable(said).items() if k not in HERE | {"train_baseline"}}
    on_digits = not told.get("dataset") and given.get("dataset", "colored_mnist") == "colored_mnist"
    if on_digits and "color_var" not in told | given:
        raise UserError(f"neither {weights} nor its name tells how it was trained; give --method and --color_var")
    if on_digits and "method" not in told | given:  # as the original takes it
        print(f"note: neither {weights} nor its name tells its method, so lntl is taken; --method gives another")
    against = contradictions(said, given)
    if given.get("dataset", told.get("dataset")) != told.get("dataset"):
        told = {name: value for name, value in told.items() if name not in recorded.names_of_data() or name == "method"}
    for flag in given:
        for name in recorded.ended_by(flag, told.get("dataset")):
            told.pop(name, None)
    defaults = vars(options.test_parser().parse_args([]))
    option = argparse.Namespace(**defaults | {k: v for k, v in told.items() if v is not None or k not in defaults})
    vars(option).update(given)
    where = told.get("data_dir")
    if where and not given.get("data_dir") and not Path(where).exists():
        raise UserError(
            f"{weights} was trained on the data in {where}, which is not here; give --data_dir, where it is"
        )
    return option, against


def contradictions(said, given):
    """What flags that are given say otherwise than the weights: a list of texts. Of the data, its folder may move."""
    names = (recorded.names_of_data() | recorded.OF_NETWORK) & given.keys() - {"data_dir", "skip_broken", *HERE}
    return [f"--{n} {said[n]}, not {given[n]}" for n in sorted(names) if said.get(n, given[n]) != given[n]]


def compare_data(weights, said, given, found):
    """(what contradicts the weights, a note or None) of the data that was loaded. found: its fingerprint."""
    before, now = said.get("data_dir"), given.get("data_dir")
    if said.get("data_sha256"):
        if said["data_sha256"] == found:
            return [], None
        return [f"data of the SHA-256 {said['data_sha256'][:12]}..., not {found[:12]}..."], None
    if now is None or "data_seed" not in said or same_path(before, now):
        return [], None
    if before is None:
        return ["data that was built", f"not that in --data_dir {now}"], None
    if Path(before).exists():
        return [f"--data_dir {before}, not {now}"], None
    return [], f"note: {weights} has no record of its data, so that in {now} cannot be compared with it"


def file_name(option, data, weights):
    """A name of its own for an evaluation that is not the one of a run: the same for the same evaluation alone."""
    label = weights.stem if weights.stem.startswith(tuple(WORDS)) else f"{weights.resolve().parent.name}_{weights.stem}"
    label, setting = (re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_") for text in (label, data.setting(option)))
    names = sorted(recorded.names_of_data() | recorded.OF_NETWORK)
    seen = {name: getattr(option, name, None) for name in names if name not in ("data_dir", "data_seed")}
    which = f"{sha256_of(weights)} {option.data_sha256} {option.data_split} {seen}"
    key = hashlib.sha256(which.encode()).hexdigest()[:6]
    return f"evaluation_{label}_{setting[-40:]}_{option.data_split}_{key}"


def predict_new(weights, content, said, given):
    """--images: predictions for new images by weights that were trained with --dataset images. Raises UserError."""
    source, out = given["images"], given.get("out", "predictions.csv")
    if useless := sorted(given.keys() & {"anyway", "data_dir", "data_split"}):
        raise UserError(f"--{useless[0]} is for an evaluation, and --images asks for predictions; leave one out")
    names = content.get("names") if isinstance(content, dict) else None
    if said.get("dataset") != "images" or not names:
        what = "keeps no names of its classes" if said.get("dataset") == "images" else "is not of --dataset images"
        raise UserError(f"{weights} {what}; --images is for the final.pth of a run that is")
    if against := contradictions(said, given):
        refuse(weights, against, "leave the flag out")
    told = {name: value for name, value in said.items() if name not in HERE}
    option = argparse.Namespace(**vars(options.test_parser().parse_args([])) | told | given)
    option.device = option.device or "auto"
    device = choose_device(option, precision="float32")
    data = DataSet.of(None)
    data.classes, data.values = names["classes"], tuple(names["biases"].values())
    data.map_bias = False  # h is not used
    f, g, _ = build(option, data, "random")
    load_weights(weights, f, g, content=content)
    f.to(device), g.to(device)
    print(f"weights {weights}: {option.method}, {option.network}, {option.image_size} pixels")
    how = {"skip_broken": bool(option.skip_broken), "background": rgb(option.background or "black")}
    predict(f, g, source, out, option.image_size, names["classes"], device, **how)
    return 0


@exits
def main(arguments=None):
    given = recorded.parse_alone(options.test_parser, arguments)
    if "out" in given and "images" not in given:
        raise UserError("--out names the file of the predictions for --images; give both")
    if "images" in given and (file := given.get("file")) and Path(file).suffix.lower() in extensions():
        raise UserError(f"--images takes one folder, table or image, and {file} is one more; give their folder")
    named = given.keys() & {"file", "checkpoint"}
    weights, run = find_weights(given)
    content = read_torch_file(weights)
    if not named and (step := unfinished(content, run)):
        raise UserError(
            f"{weights} is of epoch {step}, and the run goes on to {read_options(run)['max_step']}: finish it with "
            f"train.py -e {run.name} --resume, or give the file itself to evaluate it as it is"
        )
    said = said_of(weights, content)
    if "images" in given:
        return predict_new(weights, content, said, given)
    anyway = given.pop("anyway", False)
    option, against = merge(weights, said, given)
    if against and not anyway:
        refuse(weights, against)
    if run is None:
        run = Path(option.save_dir, re.sub(r"[^A-Za-z0-9_.+=-]", "_", f"test_{weights.stem}")[:100])
    option.exp_name, option.save_dir = run.name, str(run.parent)
    option.data_split = option.data_split or "test"
    options.resolve(option)
    device = choose_device(option, precision="float32")
    data = data_sets()[option.dataset](option, device, grey=METHODS[option.method].grey)
    option.data_sha256 = data.fingerprint()
    other_data, note = compare_data(weights, said, given, option.data_sha256)
    if other_data and not (anyway or against):
        refuse(weights, other_data)
    print(
        f"weights {weights}: {option.method}, {data.setting(option)}, split {option.data_split}, data "
        f"{getattr(option, 'data_dir', None) or 'built here'} (SHA-256 {option.data_sha256[:12]}...)"
    )
    for line in [note] if note else []:
        print(line)
    for line in options.notes(argparse.Namespace(**given)):
        if "--data_split" not in line:  # it has its meaning here
            print(line)
    check_names(weights, content, data)
    f, g, _ = build(option, data, "random")
    load_weights(weights, f, g, content=content)
    f.to(device), g.to(device)
    run.mkdir(parents=True, exist_ok=True)
    is_test = option.data_split == "test"
    own = is_test and not (against or other_data) and same_path(weights, run / "final.pth")
    own = own and not unfinished(content, run)
    name = "metrics" if own else file_name(option, data, weights)
    evaluated = evaluate_all(f, g, data.test if is_test else {"train": data.train})
    report(option, run, evaluated, data, weights, name=name)
    return 0


def refuse(
    weights,
    against,
    advice="leave the flag out, or put that data back; to evaluate it like this on purpose, say --anyway",
):
    """Raises the UserError of flags, or of data, that contradict the weights."""
    raise UserError(f"{weights} was trained with {', '.join(against)}; {advice}")


if __name__ == "__main__":
    sys.exit(main())
