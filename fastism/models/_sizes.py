"""Sizes that the Keras models and their PyTorch twins share.

Requirements: none.
"""

from __future__ import annotations

# Basset: (filters, kernel width, pool width) of the three blocks.
BASSET_BLOCKS = ((300, 19, 3), (200, 11, 4), (200, 7, 4))
BASSET_HIDDEN = 1000
BASSET_SHORTEST = 48  # the three pools leave seqlen // 48 positions

# Factorized Basset, per block: its convolutions as (name, filters, kernel width), and the pool.
FACTORIZED_BASSET_BLOCKS = (
    (
        (
            ("conv1a", 48, 3),
            ("conv1b", 64, 3),
            ("conv1c", 100, 3),
            ("conv1d", 150, 7),
            ("conv1e", 300, 7),
        ),
        3,
    ),
    ((("conv2a", 200, 7), ("conv2b", 200, 3), ("conv2c", 200, 3)), 4),
    ((("conv3", 200, 7),), 4),
)

BPNET_FILTERS = 64
BPNET_WIDTH = 25  # of the first and of the profile convolution

# DeepSEA and Beluga: "valid" convolutions 8 wide.
DEEPSEA_NUMCHARS = 4
DEEPSEA_KERNEL = 8
DEEPSEA_POOL = 4
DEEPSEA_FILTERS = (320, 480, 960)
DEEPSEA_HIDDEN = 925
DEEPSEA_SHORTEST = 163  # three convolutions, pools after the first and second
BELUGA_FILTERS = (320, 480, 640)  # two convolutions each
BELUGA_HIDDEN = 2003
BELUGA_SHORTEST = 310  # six convolutions, pools after the second and fourth

# Of every batch norm, as Keras has it.
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.99
