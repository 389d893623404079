"""The data card holds what the command computes."""

import numpy as np
import pytest

from dataset import statistics


def test_the_card_is_up_to_date():
    card = statistics.CARD.read_text("utf-8")
    filled = card.split(statistics.BEGIN)[1].split(statistics.END)[0].strip()
    assert filled == statistics.tables().strip(), "run `python -m dataset.statistics --write`"


@pytest.mark.parametrize(("color_var", "sd"), [(0.02, 36.1), (0.05, 57.0)])
def test_share_outside_is_that_of_a_simulation(color_var, sd):
    center = statistics.MEAN_COLORS[[3]] / 255
    draws = np.random.RandomState(0).normal(center, sd / 255, (200_000, 3))
    share = ((draws <= 0) | (draws >= 1)).mean()
    assert statistics.outside(color_var, [3]) == pytest.approx(share, abs=0.003)
