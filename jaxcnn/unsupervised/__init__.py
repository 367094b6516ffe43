"""Learning without labels."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.unsupervised._linear_probe import LinearProbe, linear_probe
from jaxcnn.unsupervised._neocognitron import learn_neocognitron, reinforce, winners

__all__ = ["LinearProbe", "learn_neocognitron", "linear_probe", "reinforce", "winners"]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
