"""Replays a recording of the authors' code with this project's own data, networks and updates.

    python -m tests.check_golden FILE.pt [FILE.pt ...]

Prints, for f, g and h each, |after - recorded after| / |recorded after - recorded before|, and the largest
difference of the BatchNorm buffers and of the losses. Exit status 0 iff all agree: weights within 2e-2 (float32) or
1e-5 (float64), buffers within 1e-3, losses within 1e-3 (float32) or 1e-6 (float64); 1 if not.
"""

import argparse
import sys
from types import SimpleNamespace

import torch

from common.errors import exits
from dataset.batches import FactoredData, factorise
from methods import METHODS
from models.bias_predictor import CHANNELS
from models.checkpoint import join_net, load_weights, read_torch_file

WEIGHTS = {"float32": 2e-2, "float64": 1e-5}
BUFFERS = 1e-3
LOSSES = {"float32": 1e-3, "float64": 1e-6}


def replay(recording, part, device="cpu"):
    """Runs the recorded iterations of `part` ("unlearn" or "baseline"). Returns (the method, its losses)."""
    dtype = getattr(torch, recording["dtype"])
    record = recording[part]
    option = SimpleNamespace(
        lr=record["lr"], momentum=recording["momentum"], weight_decay=recording["weight_decay"],
        lambda_=recording["lambda"], mu=recording["mu"], detach_h=0, precision=recording["dtype"],
        lr_decay_period=40, lr_decay_rate=0.1,
    )  # fmt: skip
    method = METHODS["lntl" if part == "unlearn" else "baseline"](option, device, dtype)
    load_weights("the recording", method.f, method.g, record["before"]["net"])
    method.h.load_split_state_dict({c: record["before"][f"pred_{c}"] for c in CHANNELS})
    method.start_epoch(0)

    factors = factorise(recording["images_uint8_nhwc"].numpy())
    data = FactoredData(*factors, recording["labels"].numpy(), device, dtype)
    size = recording["batch_size"]
    losses = []
    for step in range(recording["steps"]):
        index = torch.arange(step * size, (step + 1) * size, device=device)
        measured = dict(zip(method.metrics, method.update(*data.batch(index)), strict=True))
        names = ("cls_loss", "bias_loss", "neg_entropy") if part == "unlearn" else ("cls_loss",)
        losses.append([measured[name].item() for name in names])
    return method, losses


def compare(recording, part, device="cpu"):
    """Replays `part`. Returns ({"f", "g", "h": relative error of the weights}, of the buffers, of the losses)."""
    method, losses = replay(recording, part, device)
    record = recording[part]
    states = {"net": join_net(method.f, method.g)}
    states |= {f"pred_{c}": state for c, state in method.h.split_state_dict().items()}

    error, moved, buffers = dict.fromkeys("fgh", 0.0), dict.fromkeys("fgh", 0.0), 0.0
    for owner, state in states.items():
        for name, value in state.items():
            after, before = (record[when][owner][name].double() for when in ("after", "before"))
            difference = value.double().cpu() - after
            if "running" in name:
                buffers = max(buffers, difference.abs().nan_to_num(float("inf")).max().item())
            elif "num_batches" not in name:
                network = "h" if owner != "net" else "f" if name.split(".")[0] in ("bn0", "conv1", "conv2") else "g"
                error[network] += difference.square().sum().item()
                moved[network] += (after - before).square().sum().item()
    # A network that the recording left alone (h in `baseline`) must be left alone here.
    weights = {k: (error[k] / moved[k]) ** 0.5 if moved[k] else error[k] ** 0.5 for k in error}
    recorded = torch.tensor(record["losses_cls_rgb_mi"], dtype=torch.float64)
    loss = (torch.tensor(losses, dtype=torch.float64) - recorded).abs().max().item()
    return weights, buffers, loss


def check(path, device="cpu"):
    """Prints the comparison of one recording, replayed on `device`; returns whether all of it agrees."""
    recording = read_torch_file(path)
    kind, agrees = recording["dtype"], True
    for part in ("unlearn", "baseline"):
        weights, buffers, loss = compare(recording, part, device)
        within = all(w <= WEIGHTS[kind] for w in weights.values()) and buffers <= BUFFERS and loss <= LOSSES[kind]
        agrees &= within
        shown = "  ".join(f"{k} {w:.1e}" for k, w in weights.items())
        verdict = "ok" if within else "DIFFERS"
        print(f"{path} {part:8} {kind}  {shown}  buffers {buffers:.1e}  losses {loss:.1e}  {verdict}")
    return agrees


@exits
def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.pt")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    option = parser.parse_args(arguments)
    torch.backends.cudnn.allow_tf32 = False  # 10 bits are too few for this comparison
    agree = [check(path, option.device) for path in option.files]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
