"""What a model consists of, layer by layer, from a trace of its equations."""

from jaxcnn.models._summary._summary import Summary, summary

__all__ = ["Summary", "summary"]
