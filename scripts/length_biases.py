"""Three biases by which the length of a run on images was chosen, made with the suite's tools: noise, frame, hue.

    python -m scripts.length_biases noise --out DIR

800 validation images instead of 200. None of these biases is in the suite.
"""

import numpy as np

from scripts import biases
from scripts.biases import DIGITS, SIZE, Bias, digit, over, shape

FRAMES = np.array([[220, 60, 60], [60, 200, 60], [60, 60, 220], [200, 200, 60], [60, 200, 200]])


def noise(label, bias, rng, pool):
    ground = rng.uniform(60, 190)
    picture = over(shape(label, rng), ground + rng.choice([-1, 1]) * rng.uniform(30, 60), ground + np.zeros(3))
    return picture + rng.normal(0, 8 if bias == "calm" else 40, (SIZE, SIZE, 3)) * 0.8


def frame(label, bias, rng, pool):
    picture = over(digit(pool, 24, rng), rng.uniform(120, 255, 3), rng.uniform(0, 90, 3))
    colour = FRAMES[int(bias)] + rng.uniform(-30, 30, 3)
    picture[:1] = picture[-1:] = colour
    picture[:, :1] = picture[:, -1:] = colour
    return picture


def hue(label, bias, rng, pool):
    ground = rng.uniform(40, 140, 3)
    ground[{"red": 0, "blue": 2}[bias]] += 50
    return over(shape(label, rng), np.clip(ground + rng.choice([-1, 1]) * rng.uniform(25, 50), 0, 255), ground)


if __name__ == "__main__":
    biases.VAL = 800
    biases.BIASES |= {
        "noise": Bias(noise, ("triangle", "star"), ("calm", "loud"), 0.98),
        "frame": Bias(frame, DIGITS, tuple("01234"), 0.97),
        "hue": Bias(hue, ("square", "star"), ("red", "blue"), 0.99),
    }
    biases.main()
