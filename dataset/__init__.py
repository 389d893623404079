"""Colored-MNIST: the data of the paper, built from MNIST (README.md in this folder is the data card)."""
