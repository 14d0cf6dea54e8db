"""What the 2021 project saw, measured on a small set: one module for each phenomenon, ``python -m bench.phenomena`` for all."""
