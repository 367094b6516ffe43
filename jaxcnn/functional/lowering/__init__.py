"""How a convolution is computed: one formulation per file, all with one signature, and the rule that picks.

Private: callers use ``jaxcnn.functional.conv`` with ``algorithm=``, and ask ``functional.explain_conv`` why.
"""
