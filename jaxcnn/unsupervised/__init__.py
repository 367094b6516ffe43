"""Learning without labels."""

from jaxcnn.unsupervised.neocognitron import learn_neocognitron, reinforce, winners

__all__ = ["learn_neocognitron", "reinforce", "winners"]
