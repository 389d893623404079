"""LNTL with one thing changed on purpose, to measure what that is worth (docs/REPRODUCTION.md, "What each deviation
costs").

Each class, by its `deviation`, and each function of dataset/mistakes.py is one value of `train.py --deviation`.
"""

from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from common.errors import UserError
from dataset.batches import IGNORE_INDEX
from methods.baseline import label_accuracy
from methods.lntl import LNTL, GradientReversal, bias_cross_entropy, negative_entropy


class StillG(LNTL):
    """Today's zero_grad: in B, g has no gradient instead of a zero one, and SGD leaves it where it is."""

    deviation = "still_g"

    def update_h(self, x, b, reversal):
        self.optim_fg.zero_grad(set_to_none=True)  # zeroing again, as B does, leaves None
        return super().update_h(x, b, reversal)


class UniformBatchNorm(LNTL):
    """h's BatchNorm weights begin with U(0, 1), PyTorch's default before 1.2, instead of 1."""

    deviation = "uniform_batchnorm"

    def __init__(self, *arguments, **how):
        super().__init__(*arguments, **how)
        nn.init.uniform_(self.h.bn1.weight)


class ForegroundEntropy(LNTL):
    """The entropy of A over the positions that have a bias label alone, where B learns, instead of over all."""

    deviation = "foreground_entropy"

    def neg_entropy(self, logits, b):
        log_p = F.log_softmax(logits, dim=2)
        labelled = b != IGNORE_INDEX
        sums = ((log_p.exp() * log_p).sum(2) * labelled).sum(dim=(0, 2, 3))
        return (sums / labelled.sum(dim=(0, 2, 3)).clamp(min=1)).mean()


class OnePass(LNTL):
    """One forward pass for A and B: the gradients of both on the same features, then one step of f, g and h."""

    deviation = "one_pass"

    @classmethod
    def check(cls, option):
        super().check(option)
        if option.detach_h:
            raise UserError("--deviation one_pass has no step of h alone; leave --detach_h out")

    def update(self, x, y, b):
        with self.autocast():
            features = self.f(x)
            logits = self.g(features)
            cls_loss = F.cross_entropy(logits, y)
            bias_logits = self.h(GradientReversal.apply(features, self.option.mu))
            bias_loss, bias_accuracy = bias_cross_entropy(bias_logits, b)
            held_fixed = {name: value.detach() for name, value in self.h.state_dict(keep_vars=True).items()}
            held_fixed |= {name: value.clone() for name, value in self.h.named_buffers()}  # moved once, not twice
            neg_entropy = negative_entropy(functional_call(self.h, held_fixed, features))
            loss = cls_loss + self.option.lambda_ * neg_entropy + bias_loss
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return cls_loss, label_accuracy(logits, y), neg_entropy, bias_loss / b.shape[1], bias_accuracy


class RestoredOptimizer(LNTL):
    """The pretrained checkpoint's optimiser too: its momentum, and in the first epoch its last learning rate."""

    deviation = "restored_optimizer"

    def start_from(self, content):
        """content: of a weights file of the original, or of ours; `checkpoints/` holds no optimiser."""
        try:
            saved = content["optim_state_dict"]
            group = saved["param_groups"][0]
            parameters = self.optim_fg.param_groups[0]["params"]
            for parameter, key in zip(parameters, group["params"], strict=True):
                buffer = saved["state"][key]["momentum_buffer"].clone()
                self.optim_fg.state[parameter]["momentum_buffer"] = buffer.view_as(parameter).to(parameter)
            self.optim_fg.param_groups[0]["lr"] = float(group["lr"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError):
            raise UserError(
                "--deviation restored_optimizer needs weights that hold the optimiser of their training; give the "
                "final.pth of a run of --method baseline with --checkpoint, or the authors' file"
            ) from None

    def end_epoch(self):
        if self.schedulers[0].last_epoch == 0:
            self.optim_fg.param_groups[0]["lr"] = self.option.lr
        super().end_epoch()

    def constants(self):
        return [*super().constants(), self.optim_fg.param_groups[0]["lr"]]
