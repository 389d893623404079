"""The mean of the weights of f and g over the last epochs (stochastic weight averaging; Izmailov et al., 2018)."""

from types import SimpleNamespace

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_swa_avg_fn

from models.checkpoint import save_weights


class Average:
    """What `--average N` keeps: it changes nothing in the training, and is evaluated beside it."""

    def __init__(self, method, option):
        """Over the epochs `option.max_step - option.average` to the last one, counted from 0."""
        self.method, self.option = method, option
        self.first = option.max_step - option.average
        # Buffers too: f's BatchNorm sees the input alone, so that the mean of its statistics fits any weights. The
        # function is named as PyTorch's choice for a GPU cannot average whole numbers, such as a count of batches.
        networks = nn.ModuleDict({"f": method.f, "g": method.g})
        self.model = AveragedModel(networks, avg_fn=get_swa_avg_fn(), use_buffers=True)
        self.f, self.g = self.model.module["f"], self.model.module["g"]

    def update(self, epoch):
        """Called at the end of each epoch, counted from 0; again for the same one, it changes nothing.

        Returns whether there is an average to evaluate.
        """
        before = epoch - self.first
        if before == 0:
            self.model.n_averaged.zero_()
        if self.model.n_averaged == before:
            self.model.update_parameters(nn.ModuleDict({"f": self.method.f, "g": self.method.g}))
        return self.whole(before + 1)

    def whole(self, epochs):
        """Whether it is the mean of so many epochs; not where the run was extended after its average had begun."""
        return self.model.n_averaged == epochs > 0

    def save(self, path, data):
        """Writes a weights file like final.pth. data: of dataset.base.DataSet."""
        averaged = SimpleNamespace(f=self.f, g=self.g, h=self.method.h, optim_fg=self.method.optim_fg)
        save_weights(path, averaged, self.option.max_step, self.option.record(), data.names(), data.inputs())
