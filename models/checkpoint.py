"""Weights and checkpoints: reading them from anywhere without running what is in them, and the official format.

python -m models.checkpoint --ship checkpoint/baseline_var0.020/final.pth checkpoints/baseline_var0.020.pth
python -m models.checkpoint --export checkpoints/baseline_var0.020.pth official.pth     # for the original code
"""

import io
import sys

import torch

from common import Parser, path, unused_file
from common.errors import UserError, exits, one_line
from common.files import replacing
from models.feature_extractor import FeatureExtractor
from models.label_classifier import LabelClassifier
from models.layouts import find_net
from strangers.safe_pickle import Tensor, check_torch_file

DTYPES = {  # by PyTorch's name of a kind of storage
    "Byte": torch.uint8, "Char": torch.int8, "Bool": torch.bool, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Short": torch.int16, "Float": torch.float32, "Int": torch.int32, "Double": torch.float64, "Long": torch.int64,
}  # fmt: skip


def join_net(f, g):
    """The official `net_state_dict` of f and g together, contiguous copies on the CPU."""
    return {k: v.detach().cpu().contiguous().clone() for m in (f, g) for k, v in m.state_dict().items()}


def split_net(state, f, g):
    """Loads an official `net_state_dict` into f and g (in which `num_batches_tracked` may be missing)."""
    for module in (f, g):
        own = module.state_dict()
        module.load_state_dict({k: state.get(k, own[k]) if "num_batches" in k else state[k] for k in own})


def read_torch_file(path):
    """Reads a file of torch.save: its tensors, on the CPU, and plain values; what else is in it is left out.

    A parameter comes as a tensor, torch.Size as a tuple. Raises UserError.
    """
    return with_tensors(check_torch_file(path), {})


def with_tensors(value, storages):
    """A checked value with PyTorch's tensors for their descriptions. storages: those that are built already."""
    if isinstance(value, dict):
        return {k: with_tensors(v, storages) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(with_tensors(v, storages) for v in value)
    if not isinstance(value, Tensor):
        return value
    if value.storage not in storages:
        content, dtype = value.storage.content, DTYPES[value.storage.kind.name]
        storages[value.storage] = (
            torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)
        )
    return storages[value.storage].as_strided(value.size, value.stride, value.offset)


def save_torch_file(path, content, **how):
    """torch.save, whole or not at all. Raises OSError where the disk is full (torch.save itself a RuntimeError)."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def save_weights(path, method, epoch, option, names=None):
    """Writes f, g and h with the number of finished epochs and the options, in the official layout plus h.

    names: of the classes and biases (`DataSet.names`).
    """
    content = {
        "step": epoch,
        "net_state_dict": join_net(method.f, method.g),
        "optim_state_dict": to_cpu(method.optim_fg.state_dict()),
        "pred_state_dict": to_cpu(method.h.split_state_dict()),
        "option": vars(option),
        "names": names,
    }
    save_torch_file(path, content)


def to_cpu(value):
    """A nested state dict with its tensors copied to the CPU, contiguous."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().contiguous().clone()
    if isinstance(value, dict):
        return {k: to_cpu(v) for k, v in value.items()}
    if isinstance(value, list):
        return [to_cpu(v) for v in value]
    return value


def load_weights(path, f, g, content=None):
    """Loads a weights file, an official one, ours or another (models.layouts), into f and g.

    content: of the file, where it has been read. Returns it as a dict, with `net_state_dict` and `step`, where one is
    known. Raises UserError where names, shapes or values do not fit.
    """
    content = read_torch_file(path) if content is None else content
    net = find_net(path, content, f.state_dict() | g.state_dict())
    split_net(net, f, g)
    content = {"step": content["epoch"]} | content if isinstance(content.get("epoch"), int) else content
    return content | {"net_state_dict": net}


def check_names(path, content, data):
    """Raises UserError where the content of a weights file says that its classes are others than those of `data`."""
    names = content.get("names") if isinstance(content, dict) else None
    known = names.get("classes") if isinstance(names, dict) else None
    if known is not None and list(known) != list(data.classes):
        listed = (one_line(", ".join(map(str, some[:10]))) for some in (known, data.classes))
        raise UserError(f"{path} tells {next(listed)} apart, and the data has {next(listed)}; give data of its classes")


def ship(source, target):
    """Writes the weights of f and g alone, with epoch and options, from one of our files: what `checkpoints/` holds."""
    content = read_torch_file(source)
    if not isinstance(content, dict) or "net_state_dict" not in content:
        raise UserError(f"{source} is no weights file of ours; give a final.pth")
    kept = {k: content[k] for k in ("step", "net_state_dict", "option", "names") if k in content}
    save_torch_file(target, kept)


def export(source, target):
    """Writes f and g as the original code's `_load_model` reads them (its keys, the format before PyTorch 1.6)."""
    f, g = FeatureExtractor(), LabelClassifier()
    content = load_weights(source, f, g)
    # PyTorch 0.3 knows no num_batches_tracked; a fresh optimiser is what the original finds in it when no SGD is kept.
    state = {k: v for k, v in join_net(f, g).items() if "num_batches" not in k}
    fresh = torch.optim.SGD([*f.parameters(), *g.parameters()], lr=0.01, momentum=0.9, weight_decay=0.0005)
    optimizer = content.get("optim_state_dict")
    if not optimizer or "momentum" not in optimizer["param_groups"][0]:
        optimizer = fresh.state_dict()
    official = {"step": content.get("step", 0), "net_state_dict": state, "optim_state_dict": optimizer}
    save_torch_file(target, official, _use_new_zipfile_serialization=False)


@exits
def main(arguments=None):
    parser = Parser(prog="-m models.checkpoint", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ship", action="store_true", help="keep f and g alone")
    what.add_argument("--export", action="store_true", help="for the original code")
    parser.add_argument("source", type=path)
    parser.add_argument("target", type=unused_file)
    option = parser.parse_args(arguments)
    (ship if option.ship else export)(option.source, option.target)
    print(f"written: {option.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
