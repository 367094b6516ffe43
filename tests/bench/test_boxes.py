"""The page about detection shows the results of docs/bench/boxes.py."""

from docs.bench.boxes import PAGE, page


def test_the_page_has_the_times_of_the_file() -> None:
    assert page() == PAGE.read_text(encoding="utf-8"), "run python -m docs.bench.boxes --page"
    assert "| nms, 2,000 boxes, 0.5 |" in page()
