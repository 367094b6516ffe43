"""Readers of boxes and label maps: the data that they return, and the errors."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxcnn import ShapeError, data
from tests.data.annotated_files import COCO, VOC, pixels_of, write_coco, write_voc, zipped

SHARED = Path(__file__).parent.parent.parent.parent / "shared" / "data"


@pytest.mark.parametrize("kind", ["folder", "zip", "zip of a folder"])
def test_voc_pads_images_of_different_sizes_and_keeps_their_own(tmp_path: Path, kind: str) -> None:
    root = write_voc(tmp_path / "set")
    found = data.voc(root if kind == "folder" else zipped(root, inside="set/" if kind == "zip of a folder" else ""))
    assert found.class_names == ("background", "cat", "dog")
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 2, "validation": 1, "test": 1}
    arrays = found.train.read([0, 1]).arrays
    assert arrays["image"].shape == (2, 10, 12, 3)
    np.testing.assert_array_equal(arrays["size"], [[8, 12], [10, 6]])
    np.testing.assert_array_equal(arrays["size"], arrays["original_size"])
    for index, name in enumerate(("one", "two")):
        width, height, _ = VOC[name]
        np.testing.assert_array_equal(arrays["image"][index, :height, :width], pixels_of(name, width, height))
    assert not arrays["image"][0, 8:].any() and not arrays["image"][1, :, 6:].any()
    # Coordinates start from 1 and include the last pixel: the box of the cat, one pixel large, has an area of 1.
    np.testing.assert_array_equal(arrays["boxes"], [[[0, 1, 5, 8], [3, 3, 4, 4]], [[1, 0, 6, 10], [0, 0, 0, 0]]])
    np.testing.assert_array_equal(arrays["box_label"], [[2, 1], [1, 0]])
    np.testing.assert_array_equal(arrays["box_mask"], [[True, True], [True, False]])
    np.testing.assert_array_equal(arrays["box_difficult"], [[False, True], [False, False]])
    np.testing.assert_array_equal(arrays["box_area"], [[35, 1], [50, 0]])
    assert not arrays["box_crowd"].any() and not found.test.read([0]).arrays["box_mask"].any()


def test_voc_reads_label_maps_splits_and_some_classes(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set")
    found = data.voc(root, image_set="Segmentation", splits={"train": "train", "test": "val"})
    classes = found.train.read([1]).arrays["segmentation"][0]
    wanted = np.full((10, 12), 255)
    wanted[:, :6] = 0
    wanted[:10, 1:6] = 1
    wanted[0, 0] = 255
    np.testing.assert_array_equal(classes, wanted)
    dogs = data.voc(root, class_names=["dog"]).train.read([0, 1]).arrays
    np.testing.assert_array_equal(dogs["box_label"], [[1], [0]])
    zero_based = data.voc(root, one_based=False, repair=True).train.read([0]).arrays
    np.testing.assert_array_equal(zero_based["boxes"], [[[1, 2, 5, 8]]])


def test_images_are_scaled_with_their_boxes_and_classes(tmp_path: Path) -> None:
    found = data.voc(write_voc(tmp_path / "set"), image_set="Segmentation", image_size=(16, 24))
    arrays = found.train.read([0, 1]).arrays
    np.testing.assert_array_equal(arrays["size"], [[16, 24], [16, 10]])
    np.testing.assert_array_equal(arrays["original_size"], [[8, 12], [10, 6]])
    np.testing.assert_allclose(arrays["boxes"][0], [[0, 2, 10, 16], [6, 6, 8, 8]])
    np.testing.assert_allclose(arrays["box_area"][0], [140, 4])
    # At twice the size, each pixel of the boxes appears four times.
    assert (arrays["segmentation"][0] == 1).sum() == 4 and (arrays["segmentation"][0] == 2).sum() == 4 * 34
    assert (arrays["segmentation"][1, :, 10:] == 255).all()


def test_coco_numbers_classes_without_holes_and_marks_crowds(tmp_path: Path) -> None:
    path = write_coco(tmp_path, COCO)
    found = data.coco(tmp_path / "images", {"train": path, "test": path})
    assert found.class_names == ("background", "car", "toothbrush")
    arrays = found.train.read([0, 1]).arrays
    np.testing.assert_array_equal(arrays["image_id"], [70, 7])
    np.testing.assert_array_equal(arrays["boxes"][0], [[1, 2, 4, 6], [0, 0, 10, 6]])
    np.testing.assert_array_equal(arrays["boxes"][1], [[0.5, 1.25, 3.5, 3.25], [0, 0, 0, 0]])
    np.testing.assert_array_equal(arrays["box_label"], [[2, 1], [1, 0]])
    np.testing.assert_array_equal(arrays["box_crowd"], [[False, True], [False, False]])
    np.testing.assert_array_equal(arrays["box_area"], [[7.5, 60], [5, 0]])
    only = data.coco({"train": tmp_path / "images", "test": tmp_path / "images"}, {"train": path, "test": path},
                     class_names=["toothbrush"])  # fmt: skip
    np.testing.assert_array_equal(only.train.read([0, 1]).arrays["box_label"], [[1], [0]])


def test_coco_s_own_zip_files_have_one_folder(tmp_path: Path) -> None:
    path = write_coco(tmp_path, COCO)
    found = data.coco(zipped(tmp_path / "images", inside="train2017/"), {"train": path, "test": path})
    np.testing.assert_array_equal(found.train.read([0]).arrays["image"][0, :6, :10], pixels_of("a.png", 10, 6))


def test_label_maps_ignore_values_and_refuse_others(tmp_path: Path) -> None:
    for folder, mode in (("train", "RGB"), ("trainannot", "L"), ("test", "RGB"), ("testannot", "L")):
        (tmp_path / folder).mkdir()
        Image.new(mode, (3, 2), 1 if mode == "L" else 0).save(tmp_path / folder / "a.png")
    Image.fromarray(np.array([[0, 1, 11], [0, 0, 1]], np.uint8)).save(tmp_path / "trainannot" / "a.png")
    roads = data.label_maps(tmp_path, class_names=("sky", "road"), ignored=[11])
    np.testing.assert_array_equal(roads.train.read([0]).arrays["segmentation"], [[[0, 1, 255], [0, 0, 1]]])
    assert data.in_memory(roads).train["segmentation"].dtype == np.uint8
    with pytest.raises(ValueError, match=r"a\.png has the segmentation 11, but there are 2 classes, 0 to 1"):
        data.in_memory(data.label_maps(tmp_path, class_names=("sky", "road")))
    (tmp_path / "testannot" / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"label_maps: .*testannot has no label map of the image test/a\.png"):
        data.label_maps(tmp_path, class_names=("sky", "road"))
    for options, message in (
        ({"ignored": [256]}, "ignored has the value 256, but label maps have values from 0 to 255"),
        ({"splits": {"train": ("train", "trainannot")}}, "splits has no folders of test"),
        ({"splits": {"trian": ("train", "trainannot")}}, "there is no split 'trian'. Did you mean 'train'?"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            data.label_maps(tmp_path, class_names=("sky", "road"), **options)
    with pytest.raises(FileNotFoundError, match=r"there is no folder of images .*photos, or it is empty"):
        data.label_maps(tmp_path, class_names=("sky",), splits={"train": ("photos", "x"), "test": ("photos", "x")})


def changed(corners: tuple[Any, ...], label: str = "dog") -> dict[str, Any]:
    return {**VOC, "two": (6, 10, [("cat", 2, 1, 6, 10, 0), (label, *corners, 0)])}


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ((5, 2, 3, 8), r"two\.xml: the box \(.*\) = \(4\.0, 1\.0, 3\.0, 8\.0\) is empty: x1 must be more than x0"),
        ((2, 2, 9, 8), r"\(1\.0, 1\.0, 9\.0, 8\.0\) is outside of its image, 6 wide and 10 high.*repair=True"),
        ((8, 2, 9, 8), "is outside of its image"),
        (("nan", 2, 9, 8), "is empty"),
    ],
)
def test_boxes_that_cannot_be(tmp_path: Path, corners: tuple[Any, ...], message: str, monkeypatch: Any) -> None:
    images = changed((1, 1, 2, 2))
    root = write_voc(tmp_path / "set", images)
    file = root / "Annotations" / "two.xml"
    text = file.read_text(encoding="utf-8")
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
        head, tail = text.rsplit(f"<{tag}>", 1)
        text = f"{head}<{tag}>{value}<{tail.split('<', 1)[1]}"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^voc: .*{message}"):
        data.voc(root)
    kept = data.voc(root, repair=True).train.read([1]).arrays["boxes"][0]
    clipped = [1, 1, 6, 8] if corners == (2, 2, 9, 8) else [0, 0, 0, 0]
    np.testing.assert_array_equal(kept[1], clipped)


def test_a_box_may_exceed_its_image_by_a_pixel(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [{**COCO[0], "bbox": [-0.4, 0, 10.9, 6.02]}, *COCO[1:]])
    found = data.coco(tmp_path / "images", {"train": path, "test": path}).train.read([0]).arrays
    np.testing.assert_array_equal(found["boxes"][0, 0], [0, 0, 10, 6])


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda root: (root / "JPEGImages/one.png").unlink(), {}, r"there is no image .*JPEGImages.one\.\*, which a"),
        (lambda root: (root / "Annotations/one.xml").unlink(), {}, r"there is no file .*one\.xml"),
        (lambda root: (root / "Annotations/one.xml").write_bytes(b"<a>"), {}, r"one\.xml is not valid XML"),
        (
            lambda root: (root / "Annotations/one.xml").write_bytes(b"<a><object><bndbox/></object></a>"),
            {},
            "has an object without a name",
        ),
        (
            lambda root: (root / "Annotations/one.xml").write_bytes(b"<a><object><name>cat</name></object></a>"),
            {},
            "Expected four numbers",
        ),
        (lambda root: (root / "SegmentationClass/one.png").unlink(), {"image_set": "Segmentation"}, "no label map"),
        (None, {"class_names": ["cat", "dgo"]}, r"object of the class 'dgo' of class_names\. Did you mean 'dog'"),
        (None, {"class_names": ["cat", "cat"]}, "the class 'cat' is there twice"),
        (None, {"splits": {"train": "val", "test": "train"}}, "no image of the train split has a box of 'dog'"),
        (None, {"splits": {"train": "trainval", "test": "test"}}, "no list ImageSets/Main/trainval.txt. Did you"),
        (None, {"splits": {"train": "train"}}, "splits has no list of test"),
        (None, {"splits": {"train": "train", "tst": "test"}}, "there is no split 'tst'. Did you mean 'test'"),
        (None, {"image_set": "Layout"}, "image_set='Layout' is not known"),
        (lambda root: (root / "ImageSets/Main/test.txt").write_bytes(b"\n"), {}, "the test split of set has no image"),
        (lambda root: (root / "ImageSets/Main/val.txt").write_bytes(b"../x"), {}, "there is no image"),
    ],
)
def test_refused_folders(tmp_path: Path, spoil: Callable[[Path], Any] | None, options: Any, message: str) -> None:
    root = write_voc(tmp_path / "set")
    if spoil is not None:
        spoil(root)
    with pytest.raises((ValueError, FileNotFoundError), match=f"^voc: .*{message}"):
        data.voc(root, **options)


def test_images_and_maps_of_another_size_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set")
    Image.new("RGB", (3, 3)).save(root / "JPEGImages" / "one.png")
    with pytest.raises(ValueError, match=r"one\.png is 3 wide and 3 high, but its annotations are of an image 12 wide"):
        data.in_memory(data.voc(root))
    left = data.in_memory(data.voc(root, max_corrupt=1))
    assert len(left.train) == 1 and left.train["image_id"].tolist() == [1]
    Image.new("RGB", (12, 8)).save(root / "JPEGImages" / "one.png")
    for picture, message in (
        (Image.new("L", (3, 3)), r"one\.png is 3 wide and 3 high, but its image is 12 wide and 8 high"),
        (Image.new("RGB", (12, 8)), r"one\.png has the mode RGB\. Expected a grey image of 8 bits"),
    ):
        picture.save(root / "SegmentationClass" / "one.png")
        with pytest.raises(ValueError, match=message):
            data.in_memory(data.voc(root, image_set="Segmentation"))
    with pytest.raises(TypeError, match="in_memory: expected a StreamedDataset, such as stream, voc and coco return"):
        data.in_memory(left)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"annotations": [{**COCO[0], "category_id": 91}]},
            r"annotations\[0\] has the category_id 91, but the categories are \[3, 90\]",
        ),
        ({"annotations": [{**COCO[0], "image_id": 71}]}, "has the image_id 71, but there is no such image"),
        (
            {"annotations": [{**COCO[0], "bbox": [1, 2, -3, 4]}]},
            r"image 70: the box .* = \(1\.0, 2\.0, -2\.0, 6\.0\) is",
        ),
        ({"annotations": [{**COCO[0], "bbox": [1, 2, 3, 40]}]}, "10 wide and 6 high. A bbox of COCO is .x, y, width"),
        ({"annotations": [{"image_id": 70}]}, "has no image_id, no category_id, no bbox of four numbers, or"),
        ({"annotations": COCO[1:]}, "no image of the train split has a box of 'toothbrush'"),
        ({"annotations": None}, "has no list 'annotations'"),
        ({"images": [{"id": 70, "file_name": "z.png"}]}, r"there is no image .*z\.png, which .* names"),
        ({"images": [{"id": 7, "file_name": "a.png"}] * 2}, "two images have the id 7"),
        ({"images": [{"file_name": "a.png"}]}, "an image has no id or no file_name"),
        ({"images": [{"id": 2**40, "file_name": "a.png"}]}, "the image id 1099511627776 does not fit into 32 bits"),
        ({"images": [{"id": 7, "file_name": "../a.png"}]}, "leads out of the folder"),
        ({"categories": [{"id": 3, "name": "car"}, {"id": 3, "name": "cat"}]}, "two categories have the id 3"),
        ({"categories": [{"id": 3}]}, "a category has no id or no name"),
    ],
)
def test_refused_json(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    path = write_coco(tmp_path, COCO)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **content}), encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=f"^coco: .*{message}"):
        data.coco(tmp_path / "images", {"train": path, "test": path})


def test_files_of_coco_that_do_not_fit(tmp_path: Path) -> None:
    path, other = (
        write_coco(tmp_path, COCO),
        write_coco(tmp_path, [], name="other", categories=[{"id": 1, "name": "x"}]),
    )
    images = tmp_path / "images"
    for annotations, message in (
        (path, "annotations must name a file for each split"),
        ({"train": path, "test": path, "val": path}, "there is no split 'val'"),
        ({"train": path, "test": other}, "has other categories than"),
    ):
        with pytest.raises(ValueError, match=message):
            data.coco(images, annotations)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="images has no folder of the test split"):
        data.coco({"train": images}, {"train": path, "test": path})
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.json"):
        data.coco(images, {"train": tmp_path / "none.json", "test": path})
    other.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is not valid JSON"):
        data.coco(images, {"train": other, "test": path})
    with pytest.raises(FileNotFoundError, match="there is no folder and no zip file"):
        data.coco(tmp_path / "nothing", {"train": path, "test": path})
    with pytest.raises(ValueError, match="is neither a folder nor a zip file"):
        data.coco(path, {"train": path, "test": path})


def test_examples_of_tfds(tmp_path: Path) -> None:
    """The COCO file of another test in the format of TFDS: relative coordinates with y first, and labels from 0."""
    path = write_coco(tmp_path, COCO)
    wanted = data.coco(tmp_path / "images", {"train": path, "test": path}).train.read([0]).arrays
    objects = {
        "bbox": np.array([[2 / 6, 0.1, 1, 0.4], [0, 0, 1, 1]], np.float32),
        "label": np.array([1, 0]),
        "is_crowd": np.array([False, True]),
        "area": np.array([7.5, 60]),
    }
    example = {"image": pixels_of("a.png", 10, 6), "image/id": 70, "objects": objects}
    found = data.tfds_boxes(example, max_boxes=2, image_size=(8, 10), scale=False)
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name][0], atol=1e-5, err_msg=name)
    voc = {"image": pixels_of("one", 12, 8), "objects": {"bbox": np.array([[2 / 8, 1 / 12, 1, 5 / 12]]), "label": [1]}}
    first = data.tfds_boxes(voc, max_boxes=1, image_size=12, one_based=True)
    np.testing.assert_allclose(first["boxes"], [[0, 1, 5, 8]], atol=1e-5)
    with pytest.raises(ShapeError, match="tfds_boxes: the example has 2 boxes, more than max_boxes=1"):
        data.tfds_boxes(example, max_boxes=1, image_size=12)
    with pytest.raises(ShapeError, match=r"the image is 6 x 10, larger than image_size=\(8, 8\)"):
        data.tfds_boxes(example, max_boxes=2, image_size=8, scale=False)
    with pytest.raises(
        ShapeError, match=r"expected an image \(height, width, 3\) of uint8, not float32\[6,10\]|\[6, 10\]"
    ):
        data.tfds_boxes({**example, "image": np.zeros((6, 10), np.float32)}, max_boxes=2, image_size=12)
    with pytest.raises(ValueError, match="the example has no 'objects', only 'image'"):
        data.tfds_boxes({"image": example["image"]}, max_boxes=2, image_size=12)


@pytest.mark.skipif(not (SHARED / "bccd.zip").exists(), reason="bccd.zip is not next to this checkout")
def test_blood_cells() -> None:
    cells = data.voc(SHARED / "bccd.zip", image_size=(240, 320))
    assert cells.class_names == ("background", "Platelets", "RBC", "WBC")
    assert [len(cells.splits[name]) for name in ("train", "validation", "test")] == [205, 87, 72]
    arrays = cells.test.read(np.arange(4)).arrays
    assert arrays["image"].shape == (4, 240, 320, 3) and arrays["image"].std() > 20
    np.testing.assert_array_equal(arrays["original_size"], [[480, 640]] * 4)


@pytest.mark.skipif(not (SHARED / "camvid_240x180.zip").exists(), reason="the zip is not next to this checkout")
def test_roads() -> None:
    roads = data.label_maps(
        SHARED / "camvid_240x180.zip", class_names=[str(number) for number in range(11)], ignored=[11]
    )
    assert [len(roads.splits[name]) for name in ("train", "validation", "test")] == [367, 101, 233]
    classes = roads.train.read(np.arange(8)).arrays["segmentation"]
    assert classes.shape == (8, 180, 240) and {*np.unique(classes).tolist()} - {*range(11)} == {255}


def test_the_area_of_a_box_without_one_is_that_of_its_part_in_the_image(tmp_path: Path) -> None:
    boxes = [
        {"image_id": 70, "category_id": 90, "bbox": [-5, 1, 8, 2]},
        {"image_id": 70, "category_id": 3, "bbox": [1, 1, 2, 2], "area": 3},
    ]
    root = tmp_path / "set"
    path = write_coco(root, boxes)
    found = data.coco(root / "images", {"train": path, "test": path}, repair=True)
    np.testing.assert_array_equal(found.train.read([0]).arrays["box_area"], [[6, 3]])
    with pytest.raises(ValueError, match=r"or an area that is no number \(ValueError: could not convert"):
        path = write_coco(root, [boxes[0] | {"area": "big"}])
        data.coco(root / "images", {"train": path, "test": path})


def test_more_classes_than_a_label_map_holds_are_refused(tmp_path: Path) -> None:
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, 256)]
    boxes = [{"image_id": 70, "category_id": number, "bbox": [1, 1, 2, 2]} for number in range(1, 256)]
    path = write_coco(tmp_path / "set", boxes, categories=categories)
    files = {"train": path, "test": path}
    assert data.coco(tmp_path / "set" / "images", files).train.read([0]).arrays["box_label"].max() == 255
    with pytest.raises(ValueError, match=r"there are at most 254 classes besides the background, not 255\. Name fewer"):
        data.coco(tmp_path / "set" / "images", files, segmentation=True)


def test_voc_names_with_spaces_marks_of_one_class_and_a_byte_order_mark(tmp_path: Path) -> None:
    images = {"my image": VOC["one"], "two": VOC["two"]}
    root = write_voc(tmp_path / "set", images, {"train": ["my image", "two"], "test": ["two"]})
    (root / "ImageSets" / "Main" / "train.txt").write_text("my image 1\r\ntwo  -1\r\n", encoding="utf-8-sig")
    found = data.voc(root)
    np.testing.assert_array_equal(found.train.read([0, 1]).arrays["original_size"], [[8, 12], [10, 6]])
