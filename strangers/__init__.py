"""Files from strangers: pickles, read without running them."""
