from pathlib import Path

from jaxcnn.train._runs._metrics import MetricsLog


def test_lines_cut_by_a_kill_are_left_out(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.read() == []
    for step in (10, 20, 30):
        log.append({"step": step})
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"step": 40, "test/acc')
    assert [record["step"] for record in MetricsLog(log.path).read()] == [10, 20, 30]


def test_restore_drops_what_comes_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (10, 20, 30):
        log.append({"step": step})
    again = MetricsLog(log.path)
    again.restore([{"step": 10}, {"step": 20}])
    assert again.read() == MetricsLog(log.path).read() == [{"step": 10}, {"step": 20}]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_lines_of_two_runs_differ_in_nothing_but_seconds(tmp_path: Path) -> None:
    """The checksum of a line covers all other entries."""
    first, second = (MetricsLog(tmp_path / name) for name in ("first", "second"))
    first.append({"step": 6, "seconds": 1.5, "train/loss": 0.25})
    second.append({"step": 6, "seconds": 2.5, "train/loss": 0.25})
    assert first.path.read_text(encoding="utf-8").replace("1.5", "2.5") == second.path.read_text(encoding="utf-8")
