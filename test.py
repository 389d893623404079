"""Evaluates weights: on the test images, or for predictions of new ones.

python test.py                                                     # what the main job of train.py left
python test.py -e NAME
python test.py checkpoints/lntl_plus_var0.020.pth                  # method, variance and data: by what is in the file
python test.py -e NAME --out predictions.csv                       # and the prediction of every test image
python test.py -e NAME --images NEW --out predictions.csv          # predictions for new images
"""

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
from dataset.pictures import rgb
from methods import METHODS
from models.checkpoint import check_names, load_weights, read_torch_file
from models.classifier import classifier
from models.shipped import cell_name, sha256_of
from run.device import choose_device
from run.evaluate import evaluate_all, report
from run.folder import read_options
from run.networks import build
from run.predict import check_out, predict, write_predictions

DATA_FLAGS = ("dataset", "method")  # beside those of the data sets: what decides which images are seen


def find_weights(given):
    """(path of the weights, folder of the experiment or None) that the flags name. Raises UserError."""
    file, checkpoint, name = given.get("file"), given.get("checkpoint"), given.get("exp_name")
    if file and checkpoint and not same_path(file, checkpoint):
        raise UserError(f"{file} and --checkpoint {checkpoint} are two files; give one of them")
    if not (file or checkpoint or name):
        name = cell_name(given.get("method", "lntl"), given.get("color_var", options.MAIN_COLOR_VAR), 1)
        name = name.removesuffix("_seed1")
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
    return read_options(weights.resolve().parent) or options.variance_and_method(weights)


def contradictions(said, given):
    """What flags that are given say otherwise than the weights: a list of texts."""
    names = {*DATA_FLAGS, "network", "split_at", *options.flags_of_data()} - {"data_dir", "skip_broken", "workers"}
    return [
        f"--{n} {said[n]}, not {given[n]}" for n in sorted(names & given.keys()) if said.get(n, given[n]) != given[n]
    ]


def file_name(option, weights, fingerprint):
    """A name of its own for an evaluation that is not the one of a run: the same for the same evaluation alone."""
    seen = {
        name: getattr(option, name, None) for name in sorted({*DATA_FLAGS, *options.flags_of_data()} - {"data_dir"})
    }
    key = hashlib.sha256(f"{sha256_of(weights)} {fingerprint} {option.data_split} {seen}".encode()).hexdigest()[:6]
    label = weights.stem if "_" in weights.stem else f"{weights.resolve().parent.name}_{weights.stem}"
    return f"evaluation_{re.sub(r'[^A-Za-z0-9.-]+', '_', label)}_{option.data_split}_{key}"


def predict_new(weights, option, given, out, device):
    """--images: predictions for new images by weights of --dataset images. Raises UserError."""
    if option.dataset != "images":
        raise UserError(f"{weights} is not of --dataset images; --images is for the final.pth of a run that is")
    network = classifier(weights, option.network if ":" in option.network else None).to(device)
    source, background = given["images"], rgb(option.background)
    size, column = option.image_size, given.get("image")
    predict(
        network.f, network.g, source, out, size, network.classes, device,
        skip_broken=option.skip_broken, background=background, image=column,
    )  # fmt: skip
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
        raise UserError(
            f"{weights} was trained with {', '.join(against)}; leave the flag out, or put that data back; to evaluate "
            "it like this on purpose, say --anyway"
        )
    check_names(weights, content, data)
    f, g, _ = build(option, data, "random")
    load_weights(weights, f, g, content=content)
    f.to(device), g.to(device)
    split = given.get("data_split", "test")
    option = option.replace(data_split=split, data_sha256=fingerprint)
    print(f"weights {weights}: {option.method}, {data.setting(option)}, split {split}, data {fingerprint[:12]}...")
    run = run or Path(option.save_dir, re.sub(r"[^A-Za-z0-9_.+=-]", "_", f"test_{weights.stem}")[:100])
    run.mkdir(parents=True, exist_ok=True)
    evaluated = evaluate_all(f, g, data.test if split == "test" else {"train": data.train})
    report(option, run, evaluated, data, weights, name=file_name(option, weights, fingerprint))
    if given.get("out"):
        _, first = next(iter(evaluated.values()))
        shares = zip(first.predicted.tolist(), first.probability.tolist(), strict=True)
        named = zip(data.test_files(), shares, strict=True)
        write_predictions(given["out"], [(name, data.classes[y], f"{share:.4f}") for name, (y, share) in named])
        print(f"written: {given['out']}, a prediction of each test image")
    return 0


if __name__ == "__main__":
    sys.exit(main())
