"""The classes of the pixels of a label map, from its grey values, the indices of its palette, or its colours."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from jaxcnn._axes import as_int
from jaxcnn.data._arrays import IGNORED

Color = tuple[int, int, int]


class LabelValues:
    """The class of each value, or of each colour, of label maps.

    Args:
        values: the class of some values, others being classes themselves; or the class of each colour.
        ignored: further values of pixels without a label.

    Raises:
        TypeError: values that are neither integers nor colours of three integers.
        ValueError: a value or a class outside of 0 to 255, or both values and colours.
    """

    def __init__(self, values: Mapping[int, int] | Mapping[Color, int], ignored: Sequence[int]) -> None:
        of_value = {as_int(value, name="ignored"): IGNORED for value in ignored}
        if outside := [value for value in of_value if not 0 <= value <= 255]:
            raise ValueError(f"ignored has the value {outside[0]}, but label maps have values from 0 to 255.")
        self._classes, self._colors = np.arange(256, dtype=np.uint8), dict[int, int]()
        colors = [key for key in values if isinstance(key, tuple | list)]
        if colors and len(colors) < len(values):
            raise ValueError(f"values has grey values and colours, such as {colors[0]}. Expected one kind.")
        for key, label in values.items():
            parts = [as_int(part, name="values") for part in (key if isinstance(key, tuple | list) else [key])]
            if len(parts) not in (1, 3) or not all(0 <= part <= 255 for part in [*parts, as_int(label, name="values")]):
                raise ValueError(
                    f"values has {key}: {label}. Expected a value or a colour (red, green, blue), and a class, all "
                    f"from 0 to 255."
                )
            if len(parts) == 3:
                self._colors[_packed(np.array(parts)).item()] = label
            else:
                of_value[parts[0]] = label
        for value, label in of_value.items():
            self._classes[value] = label

    def __str__(self) -> str:
        """The classes of all values and colours, for the fingerprint of a data set."""
        return f"{self._classes.tolist()} {sorted(self._colors.items())}"

    def classes_of(self, picture: Image.Image, *, name: str) -> np.ndarray:
        """The class of each pixel, ``(height, width)``, uint8.

        Args:
            picture: the label map.
            name: of its file in error messages.

        Raises:
            ValueError: a picture of another kind than the values are for, or a colour without a class.
        """
        if not self._colors:
            if picture.mode not in ("P", "L", "1"):
                raise ValueError(
                    f"{name} has the mode {picture.mode}. Expected a grey image of 8 bits, or one with a palette, "
                    f"whose values are classes. For colours, label_maps(..., values={{(128, 0, 0): 1, ...}}) has the "
                    f"class of each."
                )
            return self._classes[np.asarray(picture, np.uint8)]
        found, places = np.unique(_packed(np.asarray(picture.convert("RGB"))), return_inverse=True)
        if unknown := [color for color in found.tolist() if color not in self._colors]:
            color = (unknown[0] >> 16, unknown[0] >> 8 & 255, unknown[0] & 255)
            raise ValueError(
                f"{name} has the colour {color}, of which values has no class. A colour without a label has the class "
                f"{IGNORED}."
            )
        labels = np.array([self._colors[color] for color in found.tolist()], np.uint8)
        return labels[places].reshape(picture.height, picture.width)


def _packed(colors: np.ndarray) -> np.ndarray:
    """Colours ``(..., 3)`` as single numbers."""
    red, green, blue = np.moveaxis(colors.astype(np.int64), -1, 0)
    return (red << 16) + (green << 8) + blue
