"""Image to image functions: batched, on the device, key first."""

from jaxcnn.augment.geometry import affine, random_affine

__all__ = ["affine", "random_affine"]
