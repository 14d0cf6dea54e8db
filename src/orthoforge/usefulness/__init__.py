"""Does training on synthetic images help a segmenter?"""
