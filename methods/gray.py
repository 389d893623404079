"""Gray: the baseline on images without colour, a row of the paper's table."""

from methods.baseline import Baseline


class Gray(Baseline):
    """The baseline on the ITU-R 601 luma of the coloured images.

    The paper says no more than the name. It is tested on MNIST's raw test images, the reading that fits the published
    row, and on the luma of the coloured test images beside it.
    """

    name = "gray"
    title = "Gray"
    help = "the baseline on grey images"
    grey = True
