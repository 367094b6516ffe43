"""Rows for local contrast norm."""

from jaxcnn.functional._local_contrast_norm import local_contrast_norm
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="local_contrast_norm",
        call=lambda x: local_contrast_norm(x, window_shape=(3, 2)),
        shapes=((8, 4, 5, 2),),
        symbolic=("b, h, w, ...",),
        batched=(True,),
    ),
]
