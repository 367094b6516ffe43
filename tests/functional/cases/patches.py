"""Rows for extract_patches and fold_patches."""

from jaxcnn.functional._patches import extract_patches, fold_patches
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="extract_patches",
        call=lambda x: extract_patches(x, (3, 2), strides=(2, 1), padding=((1, 2), (0, -1)), window_dilation=(2, 1)),
        shapes=((8, 7, 6, 3),),
        symbolic=("b, h, w, ...",),
        batched=(True,),
        note="strided, dilated, asymmetric",
    ),
    Case(
        function="extract_patches",
        call=lambda x: extract_patches(x, (2, 4), strides=(2, 3), padding="VALID"),
        shapes=((8, 6, 8, 2),),
        batched=(True,),
        note="side by side, and few windows",
        like="extract_patches-strided, dilated, asymmetric",
    ),
    Case(
        function="fold_patches",
        call=lambda patches: fold_patches(
            patches,
            output_shape=(7, 6),
            window_shape=(3, 2),
            strides=(2, 1),
            padding=((1, 2), (0, -1)),
            window_dilation=(2, 1),
        ),
        shapes=((8, 3, 4, 3, 2, 3),),
        batched=(True,),
        note="strided, dilated, asymmetric",
    ),
    Case(
        function="fold_patches",
        call=lambda patches: fold_patches(patches, output_shape=(6, 8), window_shape=(2, 4), strides=(2, 3)),
        shapes=((8, 3, 2, 2, 4, 2),),
        batched=(True,),
        note="side by side, and few windows",
        like="fold_patches-strided, dilated, asymmetric",
    ),
]
