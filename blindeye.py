"""Turning a Blind Eye (Alvi, Zisserman, Nellåker; ECCV workshops 2018), in the frame of f, g and h."""

from torch.nn import functional as F

from trainer import LNTL, label_accuracy


def confusion_loss(logits):
    """L_conf (eq. 2 of its paper): cross-entropy between the uniform distribution and the prediction, >= log 8."""
    return -F.log_softmax(logits, dim=2).mean()


class BlindEye(LNTL):
    """h learns the bias on detached features, and f is trained to confuse it.

    A   f, g  <-  CE(y, g(f(x))) + alpha * L_conf(h(f(x)))
    B   h     <-  L_s = sum_{channel} CE(b, h(f(x))),   f fixed
    """

    metrics = ("cls_loss", "accuracy", "confusion_loss", "bias_loss", "bias_accuracy")

    def update(self, x, y, b):
        with self.autocast():
            features = self.f(x)
            logits = self.g(features)
            cls_loss = F.cross_entropy(logits, y)
            confusion = confusion_loss(self.h(features))
            loss = cls_loss + self.option.alpha * confusion
        self.optim_fg.zero_grad()
        loss.backward(inputs=[*self.f.parameters(), *self.g.parameters()])
        self.optim_fg.step()

        bias_loss, bias_accuracy = self.update_h(x, b, reversal=False)
        return cls_loss, label_accuracy(logits, y), confusion, bias_loss / 3, bias_accuracy
