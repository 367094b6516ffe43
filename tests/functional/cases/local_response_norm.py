"""Rows for local response norm."""

from jaxcnn.functional._local_response_norm import local_response_norm
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="local_response_norm",
        call=lambda x: local_response_norm(x, alpha=0.5),
        shapes=((8, 2, 2, 7),),
        symbolic=("b, h, w, ...",),
        batched=(True,),
    ),
    Case(
        function="local_response_norm",
        call=lambda x: local_response_norm(x, size=4, k=1.0, alpha=0.3, beta=0.5),
        shapes=((8, 3),),
        batched=(True,),
        note="even, wider than the channels",
        like="local_response_norm",
    ),
]
