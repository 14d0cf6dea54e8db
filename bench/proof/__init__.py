"""Where synthetic pairs make a segmenter better than the best that costs nothing, on places that the shipped weights never saw.

The plainest setting: a number of a user's real tiles, and nothing else. They train the segmenter, they are the generator's
material, and their masks are those of the synthetic images. ``python -m bench.proof --help`` says how to run it.
"""
