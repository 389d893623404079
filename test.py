"""Evaluates weights: on the test images, or for predictions of new ones.

python test.py -e NAME                                             # without it, what the main job of train.py left
python test.py checkpoints/lntl_plus_var0.020.pth                  # method, variance and data: by what is in the file
python test.py -e NAME --out predictions.csv                       # and the prediction of every test image
python test.py -e NAME --images NEW --out predictions.csv          # predictions for new images
"""

import hashlib
import sys
from pathlib import Path

import common.before_torch  # noqa: F401

# isort: split
import option as options
from common.errors import UserError, exits
from dataset import data_sets
from dataset.pictures import rgb
from methods import METHODS
from models.checkpoint import check_names, load_weights, read_torch_file
from models.classifier import classifier
from models.shipped import sha256_of
from run.device import choose_device
from run.evaluate import evaluate, report
from run.folder import read_options
from run.networks import build
from run.predict import check_out, predict, predictions, write_predictions


def find_weights(given):
    """(path of the weights, folder of the experiment or None) that the flags name. Raises UserError."""
    file, checkpoint, name = given.get("file"), given.get("checkpoint"), given.get("exp_name")
    if file and checkpoint:
        raise UserError(f"{file} and --checkpoint {checkpoint} are two files; give one of them")
    if not (file or checkpoint or name):
        name = options.main_job(given | {"resume": True})["exp_name"]
    run = Path(given.get("save_dir", "./checkpoint/"), name) if name else None
    weights = Path(file or checkpoint or run / "final.pth")
    if not weights.exists():
        advice = f"train first (train.py -e {name}), or " if name else ""
        raise UserError(f"{weights} does not exist; {advice}give a weights file")
    if run is None and (weights.parent / "options.json").exists():
        run = weights.resolve().parent
    return weights, run


def said_of(weights, content):
    """The options with which weights were trained: by the file, by the run in whose folder it lies, or by its name."""
    option = content.get("option") if isinstance(content, dict) else None
    if isinstance(option, dict) and {"method", "dataset", "color_var"} & option.keys():
        return option
    return read_options(weights.resolve().parent) or options.named(weights)


def contradictions(said, given):
    """What flags that are given say otherwise than the weights: a list of texts."""
    names = {"dataset", "method", "network", "split_at", *options.flags_of_data()}
    asked = {name: given[name] for name in sorted(names - {"data_dir", "skip_broken"}) if name in given}
    return [f"--{name} {said[name]}, not {value}" for name, value in asked.items() if said.get(name, value) != value]


def predict_new(weights, option, given, out, device):
    """--images: predictions for new images by weights of --dataset images. Raises UserError."""
    if option.dataset != "images":
        raise UserError(f"{weights} is not of --dataset images; --images is for the final.pth of a run that is")
    net = classifier(weights, option.network if ":" in option.network else None).to(device)
    how = {"skip_broken": option.skip_broken, "background": rgb(option.background), "image": given.get("image")}
    predict(net.f, net.g, given["images"], out, option.image_size, net.classes, device, **how)
    return 0


@exits
def main(arguments=None):
    given = vars(options.test_parser().parse_args(arguments))
    if given.pop("train_baseline", False):
        given.setdefault("method", "baseline")
    weights, run = find_weights(given)
    content = read_torch_file(weights)
    said = said_of(weights, content)
    if not said and not given.keys() & {"color_var", "dataset"}:
        raise UserError(f"neither {weights} nor its name tells how it was trained; give --method and --color_var")
    against = contradictions(said, given)
    option = options.evaluated_options(given, said)
    device = choose_device(option, precision="float32")
    if "images" in given:
        if given.keys() & {"anyway", "data_split", "data_dir"}:
            raise UserError("--images asks for predictions of new images; leave out the flags of an evaluation")
        out = given.get("out") or (run or weights.resolve().parent) / "predictions.csv"
        return predict_new(weights, option, given, out, device)
    if "out" in given:
        if given.get("data_split") == "train":
            raise UserError("--out is for predictions of the test images; leave out --data_split train")
        check_out(given["out"])
    method = METHODS[option.method]
    data = data_sets()[option.dataset](option, device, grey=method.grey)
    fingerprint = data.fingerprint()
    if said.get("data_sha256") not in (None, fingerprint):
        against.append(f"data of the SHA-256 {said['data_sha256'][:12]}..., not {fingerprint[:12]}...")
    if against and not given.get("anyway"):
        what = f"{weights} was trained with {', '.join(against)}"
        raise UserError(f"{what}; leave the flag out, put that data back, or say --anyway to evaluate it like this")
    check_names(weights, content, data)
    f, g, _ = build(option, data, "random")
    load_weights(weights, f, g, content=content)
    f.to(device), g.to(device)
    split = given.get("data_split", "test")
    option = option.replace(data_split=split, data_sha256=fingerprint)
    print(f"weights {weights}: {option.method}, {data.setting(option)}, split {split}, data {fingerprint[:12]}...")
    run = run or Path(option.save_dir, f"test_{weights.stem}")
    run.mkdir(parents=True, exist_ok=True)
    parts = data.test if split == "test" else {"train": data.train}
    evaluated = {name: (part, evaluate(f, g, part)) for name, part in parts.items()}
    key = hashlib.sha256(f"{sha256_of(weights)} {fingerprint} {option.method}".encode()).hexdigest()[:6]
    report(option, run, evaluated, data, weights, name=f"evaluation_{weights.stem}_{split}_{key}")
    if given.get("out"):
        _, first = next(iter(evaluated.values()))
        write_predictions(given["out"], predictions(first, data.test_files(), data.classes))
        print(f"written: {given['out']}, a prediction of each test image")
    return 0


if __name__ == "__main__":
    sys.exit(main())
