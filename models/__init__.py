"""The networks of the paper: f (features), g (labels), h (bias), and their files."""

import common.before_torch  # noqa: F401
from models.bias_predictor import BiasPredictor
from models.feature_extractor import FeatureExtractor
from models.label_classifier import LabelClassifier

__all__ = ["BiasPredictor", "FeatureExtractor", "LabelClassifier"]
