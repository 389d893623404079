"""BiasBal: Hong and Yang, "Unbiased Classification Through Bias-Contrastive and Bias-Balanced Learning" (NeurIPS 2021).

Cross-entropy of the logits plus log p(y | b), counted in the training images; plain logits in the test. What the bias
tells of the label need not be learned any more.
"""

from torch.nn import functional as F

from methods.baseline import Baseline
from methods.bias_prior import count_bias
from models.networks import last_linear


class BiasBal(Baseline):
    """The baseline whose logits are told what the bias tells."""

    name = "biasbal"
    title = "BiasBal"
    help = "cross-entropy of the logits plus log p(y given b) (Hong and Yang 2021)"

    def prepare(self, train, weights=None):
        """Counts p(y | b), with one added to every pair of label and bias."""
        self.prior = count_bias(train, last_linear(self.g)[1].out_features, self.h.num_values)

    def label_loss(self, logits, x, y, b):
        return F.cross_entropy(logits + self.prior.p(x, b).log(), y)
