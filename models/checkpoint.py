"""Weights files: reading them without running what is in them, and the official layout."""

import io
import re

import torch

from common.errors import UserError, one_line
from common.files import replacing

WRAPPED = re.compile(r"((module|_orig_mod)\.)+")  # before a name: of DataParallel, of torch.compile
KEYS = ("net_state_dict", "state_dict", "model")  # under which a file has its weights, if not at the top


def read_torch_file(path):
    """The content of a file of torch.save: tensors, on the CPU, and plain values. Raises UserError for all else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); give a weights file") from None
    except Exception as error:  # of many kinds, as the bytes of a damaged file may mean anything
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            what = f"{one_line(found[1])}, which is no tensor and no plain value, and is not loaded"
            raise UserError(f"{path} holds {what}; save network.state_dict() alone, where it was made") from None
        raise UserError(f"{path} is no file of torch.save, or damaged; give another, or copy it again") from None


def save_torch_file(path, content):
    """torch.save, whole or not at all. Raises OSError where the disk is full (torch.save itself a RuntimeError)."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def find_net(path, content, expected, optional=()):
    """The weights {name: tensor} in a file's content: ours, the official one, a state dict, or {"f": ..., "g": ...}.

    expected: {name: tensor} that must be there in these shapes; a missing `num_batches_tracked`, which official files
    lack, is filled in. optional: names that may be there in any shape. path: for messages. Raises UserError.
    """
    state = content if isinstance(content, dict) else {}
    if all(isinstance(state.get(part), dict) for part in ("f", "g")):
        state = state["f"] | state["g"]
    else:
        state = next((state[key] for key in KEYS if isinstance(state.get(key), dict)), state)
    net = {name: tensor for name, tensor in expected.items() if "num_batches" in name}
    net |= {WRAPPED.sub("", str(k), count=1): v for k, v in state.items() if isinstance(v, torch.Tensor)}
    for name in [*expected, *net]:
        own, its = (tuple(some[name].shape) if name in some else "missing" for some in (net, expected))
        if own != its and name not in optional:
            what = f"{name} is {own} there and {its} in the network"
            raise UserError(f"{path} does not fit the network: {what}; give weights of this network")
    return net


def join_net(f, g):
    """The official `net_state_dict` of f and g together, contiguous copies on the CPU."""
    return to_cpu(f.state_dict() | g.state_dict())


def to_cpu(value):
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().contiguous().clone()
    if isinstance(value, dict):
        return {k: to_cpu(v) for k, v in value.items()}
    return [to_cpu(v) for v in value] if isinstance(value, list) else value


def save_weights(path, method, epoch, option, names=None, inputs=None):
    """Writes f, g and h after `epoch` epochs in the official layout plus h. names, inputs: as of `DataSet`."""
    states = {
        "net_state_dict": join_net(method.f, method.g),
        "optim_state_dict": to_cpu(method.optim_fg.state_dict()),
        "pred_state_dict": to_cpu(method.h.split_state_dict()),
    }
    save_torch_file(path, {"step": epoch} | states | {"option": dict(option), "names": names, "inputs": inputs})


def load_weights(path, f, g, content=None):
    """Loads a weights file, or its content, into f and g. Returns the content, a dict with `net_state_dict`."""
    content = read_torch_file(path) if content is None else content
    net = find_net(path, content, f.state_dict() | g.state_dict())
    for part in (f, g):
        part.load_state_dict({name: net[name] for name in part.state_dict()})
    return content | {"net_state_dict": net}


def check_names(path, content, data):
    """Raises UserError where the content of a weights file says that its classes are others than those of `data`."""
    names = content.get("names") if isinstance(content, dict) else None
    if names and list(names["classes"]) != list(data.classes):
        its, own = (one_line(", ".join(map(str, some[:10]))) for some in (names["classes"], data.classes))
        raise UserError(f"{path} tells {its} apart, and the data has {own}; give data of its classes")
