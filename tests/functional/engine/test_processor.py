"""What the estimates read about the processor."""

from pathlib import Path

import pytest

from jaxcnn.functional._engine._algorithms import _processor

WITH = "processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f avx512vl\n"
WITHOUT = "processor\t: 0\nflags\t\t: fpu sse2 avx avx2 fma\nbugs\t\t: avx512f\n"


@pytest.mark.parametrize(("text", "found"), [(WITH, True), (WITHOUT, False), ("Features: asimd sve\n", False)])
def test_the_flags_of_linux_name_avx512(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, found: bool
) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    path = tmp_path / "cpuinfo"
    path.write_text(text, encoding="utf-8")
    assert _processor.has_avx512(path) == found


def test_other_systems_have_no_such_file(tmp_path: Path) -> None:
    assert not _processor.has_avx512(tmp_path / "missing")


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("--xla_cpu_max_isa=AVX2 --xla_dump_to=x", False),
        ("--xla_cpu_max_isa=avx", False),
        ("--xla_cpu_max_isa=AVX512", True),
        ("--xla_dump_to=xla", True),
    ],
)
def test_a_limit_of_xla_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, found: bool) -> None:
    monkeypatch.setenv("XLA_FLAGS", flags)
    path = tmp_path / "cpuinfo"
    path.write_text(WITH, encoding="utf-8")
    assert _processor.has_avx512(path) == found
