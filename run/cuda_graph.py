"""One training iteration as a CUDA graph: its few hundred small kernels are launched at once.

An iteration of this network keeps a GPU busy for less time than Python needs to launch it kernel by kernel. A graph
records the kernels with their memory addresses and launches them together, so nothing may depend on Python: the
iteration reads its batch from one index tensor, changes only tensors in place (weights, momenta, totals), and never
waits for the device. Numbers are baked in; where one of them changes (the learning rate), the graph is made anew.
"""

import torch

EAGER = 3  # calls before a recording: momenta and gradients come into being, cuDNN chooses its algorithms


class GraphedIteration:
    """Calls `iterate(index)`, which returns a list of tensors, as a CUDA graph where that is possible."""

    def __init__(self, iterate, constants, size):
        """constants(): every number that `iterate` bakes in. size: batches of another size (the last) run eagerly."""
        self.iterate, self.constants, self.size = iterate, constants, size
        # Everything runs on this one stream: autograd binds gradients to the stream on which they were first made.
        self.stream = torch.cuda.Stream()
        self.baked = self.graph = None
        self.calls = 0

    def __enter__(self):
        """From here on the stream goes on behind the work that is queued already; until __exit__ it takes the calls."""
        self.stream.wait_stream(torch.cuda.current_stream())
        return self

    def __exit__(self, *_):
        self.stream.synchronize()

    def __call__(self, index):
        """One iteration on the images of `index`, int64 on the device. The result is overwritten by the next call."""
        with torch.cuda.stream(self.stream):
            if not isinstance(index, torch.Tensor) or len(index) != self.size:  # images that were read, or too few
                return self.iterate(index)
            if self.baked != (baked := self.constants()):
                self.baked, self.graph, self.calls = baked, None, 0
            self.calls += 1
            if self.calls <= EAGER:
                return self.iterate(index)
            if self.graph is None:
                self.record(index)
            self.index.copy_(index)
            self.graph.replay()
            return self.result

    def record(self, index):
        """Records the iteration without running it."""
        self.index, self.graph = index.clone(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.result = self.iterate(self.index)
