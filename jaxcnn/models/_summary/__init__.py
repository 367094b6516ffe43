"""Summaries of models: parameters, multiply-adds and receptive fields, from a trace of the model."""

from jaxcnn.models._summary._summary import Summary, summary

__all__ = ["Summary", "summary"]
