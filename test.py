"""Evaluates weights: on the test images, or for predictions of new ones.

python test.py -e NAME                                             # without it, what the main job of train.py left
python test.py --checkpoint checkpoints/lntl_plus_var0.020.pth     # method, variance and data: by what is in the file
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
    """(path of the weights, folder of what is written) that the flags name. Raises UserError."""
    checkpoint, name = given.get("checkpoint"), given.get("exp_name")
    if not (checkpoint or name):
        name = options.main_job(given | {"resume": True})["exp_name"]
    save_dir = Path(given.get("save_dir", "./checkpoint/"))
    weights = Path(checkpoint or save_dir / name / "final.pth")
    if not weights.exists():
        advice = f"train first (train.py -e {name}), or " if name else ""
        raise UserError(f"{weights} does not exist; {advice}give a weights file")
    beside = (weights.parent / "options.json").exists()
    return weights, save_dir / name if name else weights.parent if beside else save_dir / f"test_{weights.stem}"


def said_of(weights, content):
    """The options with which weights were trained, {} where neither the file nor the folder where it lies tells."""
    option = content.get("option") if isinstance(content, dict) else None
    return option if isinstance(option, dict) and "method" in option else read_options(weights.parent)


def predict_new(weights, option, given, device):
    """--images: predictions for new images by weights of --dataset images. Raises UserError."""
    if option.dataset != "images":
        raise UserError(f"{weights} is not of --dataset images; --images is for the final.pth of a run that is")
    net = classifier(weights, option.network if ":" in option.network else None).to(device)
    how = {"skip_broken": option.skip_broken, "background": rgb(option.background), "image": given.get("image")}
    out = given.get("out", weights.parent / "predictions.csv")
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
        raise UserError(f"{weights} does not tell how it was trained; give --method and --color_var")
    names = options.names(options.TRAINED) | options.DATA_FLAGS.keys() - {"data_dir", "skip_broken", "workers"}
    asked = {name: given[name] for name in sorted(names & given.keys()) if said.get(name, given[name]) != given[name]}
    against = [f"--{name} {said[name]}, not {value}" for name, value in asked.items()]
    option = options.evaluated_options(given, said)
    if ":" in option.network and not given.keys() & {"network", "exp_name"}:
        raise UserError(
            f"{weights} wants code to be run, {option.network}; give --network {option.network} to trust it"
        )
    device = choose_device(option, precision="float32")
    if "images" in given:
        return predict_new(weights, option, given, device)
    if "out" in given:
        if given.get("data_split") == "train":
            raise UserError("--out is for predictions of the test images; leave out --data_split train")
        check_out(given["out"])
    data = data_sets()[option.dataset](option, device, grey=METHODS[option.method].grey)
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
