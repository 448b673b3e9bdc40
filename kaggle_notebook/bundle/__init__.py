"""The offline bundle: made where there is an index, checked and installed where there is none."""
