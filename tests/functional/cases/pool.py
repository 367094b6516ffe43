"""Rows for the pooling functions.

Each algorithm of a pool has a row, with padding and an incomplete last window and without: few taps in a chain, many
taps by doubling, and wide windows that do not overlap as rows.
"""

import math

from jaxcnn import functional as F
from tests.functional.cases.case import Case

IMAGE = (8, 7, 6, 3)
OVERLAP = {"strides": (2, 1), "padding": ((1, 2), (0, 1)), "window_dilation": (1, 2), "ceil_mode": True}
APART = {"strides": (2, 3)}
WINDOWED = {"shapes": (IMAGE,), "batched": (True,), "symbolic": ("b, h, w, ...",)}
LONG = {"shapes": ((8, 21, 2),), "batched": (True,), "symbolic": ("b, h, ...",)}

CASES = [
    Case(
        function="max_pool",
        call=lambda x: F.max_pool(x, (2, 3), **APART),
        distinct=True,
        **WINDOWED,
        like="max_pool-padded, dilated, ceil",
    ),
    Case(
        function="max_pool",
        call=lambda x: F.max_pool(x, (3, 2), **OVERLAP),
        note="padded, dilated, ceil",
        distinct=True,
        **WINDOWED,
    ),
    Case(
        function="max_pool",
        call=lambda x: F.max_pool(x, (11,), strides=2, padding="SAME"),
        note="many taps",
        distinct=True,
        **LONG,
    ),
    Case(
        function="max_pool",
        call=lambda x: F.max_pool(x, (6,), strides=7, padding=2),
        note="wide and apart",
        distinct=True,
        **LONG,
    ),
    Case(
        function="min_pool",
        call=lambda x: F.min_pool(x, (3, 2), **OVERLAP),
        distinct=True,
        **WINDOWED,
        like="max_pool-padded, dilated, ceil",
    ),
    Case(
        function="max_pool_with_indices",
        call=lambda x: F.max_pool_with_indices(x, (3, 2), **OVERLAP),
        distinct=True,
        **WINDOWED,
    ),
    Case(
        function="max_pool_with_indices",
        call=lambda x: F.max_pool_with_indices(x, (6,), strides=7, padding=2),
        note="wide and apart",
        distinct=True,
        **LONG,
        like="max_pool_with_indices",
    ),
    Case(
        function="max_unpool",
        call=lambda y, indices: F.max_unpool(y, indices, (4, 5)),
        shapes=((8, 2, 3, 2), (8, 2, 3, 2)),
        batched=(True, True),
        differentiable=(True, False),
        integer=(0, 20),
        symbolic=("b, h, w, ...", "b, h, w, ..."),
    ),
    Case(
        function="avg_pool",
        call=lambda x: F.avg_pool(x, (2, 3), **APART),
        **WINDOWED,
        like="avg_pool-padded, dilated, ceil",
    ),
    Case(
        function="avg_pool", call=lambda x: F.avg_pool(x, (3, 2), **OVERLAP), note="padded, dilated, ceil", **WINDOWED
    ),
    Case(
        function="avg_pool",
        call=lambda x: F.avg_pool(x, (11,), strides=2, padding="SAME", count_include_pad=True),
        note="many taps",
        **LONG,
        like="max_pool-many taps",
    ),
    Case(function="lp_pool", call=lambda x: F.lp_pool(x, (3, 2), **OVERLAP), **WINDOWED),
    Case(
        function="lp_pool",
        call=lambda x: F.lp_pool(x, (2, 3), p=2.5, **APART),
        note="p=2.5",
        **WINDOWED,
        like="lp_pool",
    ),
    Case(function="lp_pool", call=lambda x: F.lp_pool(x, (2, 3), p=3, **APART), note="p=3", **WINDOWED, like="lp_pool"),
    Case(
        function="lp_pool",
        call=lambda x: F.lp_pool(x, (3, 2), p=math.inf, **OVERLAP),
        note="p=inf",
        distinct=True,
        **WINDOWED,
        like="max_pool-padded, dilated, ceil",
    ),
    Case(
        function="weighted_pool",
        call=lambda x, kernel: F.weighted_pool(x, kernel, **OVERLAP),
        shapes=(IMAGE, (3, 2)),
        batched=(True, False),
        symbolic=("b, h, w, ...", "..."),
        like="avg_pool-padded, dilated, ceil",
    ),
    Case(function="feature_pool", call=lambda x: F.feature_pool(x, 3), distinct=True, **WINDOWED),
    Case(
        function="feature_pool",
        call=lambda x: F.feature_pool(x, 6),
        shapes=((8, 12),),
        batched=(True,),
        note="wide",
        distinct=True,
        like="feature_pool",
    ),
    Case(
        function="feature_pool",
        call=lambda x: F.feature_pool(x, 3, kind="avg"),
        note="avg",
        **WINDOWED,
        like="feature_pool",
    ),
    Case(
        function="feature_pool",
        call=lambda x: F.feature_pool(x, 3, kind="l2"),
        note="l2",
        **WINDOWED,
        like="feature_pool",
    ),
    Case(function="adaptive_avg_pool", call=lambda x: F.adaptive_avg_pool(x, (3, 4)), **WINDOWED),
    Case(function="adaptive_max_pool", call=lambda x: F.adaptive_max_pool(x, (3, 4)), distinct=True, **WINDOWED),
    Case(
        function="adaptive_max_pool",
        call=lambda x: F.adaptive_max_pool(x, (3,)),
        note="wide",
        distinct=True,
        **LONG,
        like="adaptive_max_pool",
    ),
    Case(function="global_avg_pool", call=lambda x: F.global_avg_pool(x, spatial_ndim=2), **WINDOWED),
    Case(
        function="global_max_pool",
        call=lambda x: F.global_max_pool(x, spatial_ndim=2, keepdims=True),
        distinct=True,
        **WINDOWED,
        like="global_avg_pool",
    ),
    Case(
        function="spatial_pyramid_pool",
        call=lambda x: F.spatial_pyramid_pool(x, (1, (3, 1)), spatial_ndim=2),
        distinct=True,
        **WINDOWED,
        like="adaptive_max_pool",
    ),
    Case(
        function="spatial_pyramid_pool",
        call=lambda x: F.spatial_pyramid_pool(x, (1, 2), kind="avg", spatial_ndim=2),
        note="avg",
        **WINDOWED,
        like="adaptive_max_pool",
    ),
    Case(function="mac", call=F.mac, distinct=True, shapes=(IMAGE,), batched=(True,), like="global_avg_pool"),
    Case(function="spoc", call=F.spoc, shapes=(IMAGE,), batched=(True,), like="global_avg_pool"),
    Case(
        function="gem",
        call=lambda x: F.gem(x, p=2.5),
        shapes=(IMAGE,),
        batched=(True,),
        positive=(True,),
        like="global_avg_pool",
    ),
    Case(
        function="r_mac",
        call=lambda x: F.r_mac(x, levels=2),
        distinct=True,
        shapes=((8, 3, 4, 2),),
        batched=(True,),
        dtypes=("float32", "bfloat16"),
        like="global_avg_pool",
    ),
]
