import json
from pathlib import Path

from jaxcnn.train.metrics import MetricsLog


def test_lines_cut_by_a_kill_are_left_out(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.read() == []
    for step in (10, 20, 30):
        log.append({"step": step})
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"step": 40, "test/acc')
    assert [record["step"] for record in log.read()] == [10, 20, 30]


def test_keep_until_drops_what_comes_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (10, 20, 30):
        log.append({"step": step})
    assert log.keep_until(20) == [{"step": 10}, {"step": 20}]
    assert [json.loads(line)["step"] for line in log.path.read_text(encoding="utf-8").splitlines()] == [10, 20]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
