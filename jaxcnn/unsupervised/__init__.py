"""Learning without labels."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.unsupervised._crbm import CRBM
from jaxcnn.unsupervised._filter_bank import filter_bank
from jaxcnn.unsupervised._kmeans import Lloyd, kmeans, lloyd_step, nearest_centroids
from jaxcnn.unsupervised._linear_probe import LinearProbe, linear_probe
from jaxcnn.unsupervised._linear_svm import linear_svm
from jaxcnn.unsupervised._neocognitron import learn_neocognitron, reinforce, winners
from jaxcnn.unsupervised._patch_features import encode_patches, grid_pool, in_batches
from jaxcnn.unsupervised._patches import Whitening, normalize_contrast, random_patches, zca_whitening
from jaxcnn.unsupervised._psd import init_psd, psd_codes, psd_encode, psd_loss
from jaxcnn.unsupervised._sparse_coding import dictionary_step, learn_dictionary, sparse_codes

__all__ = [
    "CRBM",
    "LinearProbe",
    "Lloyd",
    "Whitening",
    "dictionary_step",
    "encode_patches",
    "filter_bank",
    "grid_pool",
    "in_batches",
    "init_psd",
    "kmeans",
    "learn_dictionary",
    "learn_neocognitron",
    "linear_probe",
    "linear_svm",
    "lloyd_step",
    "nearest_centroids",
    "normalize_contrast",
    "psd_codes",
    "psd_encode",
    "psd_loss",
    "random_patches",
    "reinforce",
    "sparse_codes",
    "winners",
    "zca_whitening",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
