"""Where a checkpoint has the weights of f and g, and under which names: as many programs as write one, as many ways."""

import re

import torch

from common.errors import UserError

OFFICIAL = "net_state_dict"
WRAPPED = re.compile(r"(module|_orig_mod|model|net|network|f|g|0|1)\.")  # what may stand before a name, again and again
BESIDE = ("n_averaged",)  # of torch.optim.swa_utils.AveragedModel
OF_H = re.compile(r"(.*\.)?h\.")
MAX_DEPTH = 4


def find_net(path, content, expected, beside=()):
    """The weights of f and g in the content of a checkpoint, {name: tensor}, as the official `net_state_dict`.

    expected: {name: tensor}, of f and g; `num_batches_tracked` may be missing. beside: others that may be there, and
    are kept. They may lie at the top or deeper, f and g apart, with `module.` or `_orig_mod.` and the like before
    their names. Where several dictionaries fit, `net_state_dict` is meant, or else f and g at the top. path: for
    messages. Raises UserError.
    """
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold the weights of f and g (it is no dictionary); save a state_dict instead")
    fitting, closest = {}, ("", [*expected])
    for place, state in dictionaries(content):
        named = plain_names(state, {*expected, *beside})
        missing = [k for k in expected if k not in named and "num_batches" not in k]
        if not missing:
            fitting[place] = named
        if len(missing) < len(closest[1]):
            closest = place, missing
    if not fitting:
        place, missing = closest
        where = f", although {place or 'its top'} has others of them" if len(missing) < len(expected) else ""
        raise UserError(
            f"{path} does not hold the weights of f and g: {missing[0]} is missing{where}; "
            "give a file that has them, or save it anew: torch.save({'net_state_dict': {**f.state_dict(), "
            "**g.state_dict()}}, FILE)"
        )
    place = next((p for p in (OFFICIAL, "f + g") if p in fitting), None)
    if place is None and not all(same(net, next(iter(fitting.values()))) for net in fitting.values()):
        raise UserError(
            f"{path} holds weights of f and g more than once, in {' and '.join(p or 'its top' for p in fitting)}; "
            "save the one that is meant alone"
        )
    place = place or next(iter(fitting))
    return checked(path, fitting[place], expected, beside)


def dictionaries(content):
    """(place, dictionary) for everything in `content` that may be a state dict: it, those in it, and f's with g's."""
    level = [("", content)]
    for _ in range(MAX_DEPTH):
        yield from level
        for place, state in level:
            parts = [state.get(name) for name in ("f", "g")]
            if all(isinstance(part, dict) for part in parts) and not set.intersection(*map(set, parts)):
                yield f"{place}.f + g".lstrip("."), parts[0] | parts[1]
        level = [
            (f"{place}.{key}".lstrip("."), child)
            for place, state in level
            for key, child in state.items()
            if isinstance(child, dict)
        ]


def plain_names(state, expected):
    """The tensors of `state` by the names that are `expected`, where wrapping explains the difference.

    Of two that get one name, none has it: they are a model and another.
    """
    named, twice = {}, set()
    for key, value in state.items():
        if not isinstance(key, str) or isinstance(value, dict) or key in BESIDE:
            continue
        plain = key
        while plain not in expected and (before := WRAPPED.match(plain)):
            plain = plain[before.end() :]
        if plain in named:
            twice.add(plain)
        if plain in expected or not (plain in BESIDE or OF_H.match(key)):
            named[plain] = value
    return {k: v for k, v in named.items() if k not in twice}


def checked(path, net, expected, beside=()):
    """`net`, without what is none of its weights, once names, shapes and values fit. Raises UserError."""
    for name, value in net.items():
        if name in expected and not isinstance(value, torch.Tensor):
            raise UserError(f"{path} has {name} as {type(value).__name__}, which is no tensor; give another file")
    net = {k: v for k, v in net.items() if isinstance(v, torch.Tensor)}
    for name, value in net.items():
        if name not in expected and name not in beside:
            raise UserError(
                f"{path} has weights that f and g have not (unknown: {name}); it is of another network, give another"
            )
        if name in expected and value.shape != expected[name].shape:
            raise UserError(
                f"{path} has {name} of the shape {tuple(value.shape)}, f and g {tuple(expected[name].shape)}; "
                "it is of another network, give another file"
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"{path} holds weights that are not finite ({name}); take an earlier checkpoint")
    return net


def same(a, b):
    """Whether two dictionaries of tensors are equal."""
    return a.keys() == b.keys() and all(
        isinstance(a[k], torch.Tensor) and isinstance(b[k], torch.Tensor) and torch.equal(a[k], b[k]) for k in a
    )
