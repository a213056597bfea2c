"""Simulated raters: images whose quality can be seen, and what people of known taste say of it."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import tifffile

SIDE = 96


def write_image(path, quality, *, dtype=np.uint16, side=SIDE, unlike=0):
    """Write an image of which a share is white: its quality, in tenths. The rest is black."""
    blocks = np.zeros((side * side // 64, 64), dtype)
    # One stays black: without it nothing would be white by comparison.
    white = min(round(len(blocks) * quality / 10), len(blocks) - 1)
    order = np.random.default_rng(unlike).permutation(len(blocks))
    blocks[order[:white]] = 4000 if dtype == np.uint16 else 200
    tifffile.imwrite(path, blocks.reshape(side, side))


class Rater:
    """Sees how much of an image is white, and says so by a scale and with errors of their own."""

    def __init__(self, name, *, offset=0.0, error=0.0):
        self.name, self.offset, self.error = name, offset, error

    def score(self, quality, what):
        """A tenth from 0.1 to 1; the same thing gets another error each time it is shown."""
        digest = hashlib.sha256(f"{self.name} {what}".encode()).digest()
        error = random.Random(digest).gauss(0, self.error)
        return round(min(1.0, max(0.1, round((quality + self.offset + error) * 10) / 10)), 1)


def key_of(score):
    """The key by which a score is given."""
    return str(round(score * 10) % 10)
