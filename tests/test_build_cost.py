"""tools.build_cost reads what Ninja wrote, and tells libraries that are too large."""

from lba_onnx import native
from tools import build_cost


def test_a_file_built_twice_counts_once(tmp_path):
    log = tmp_path / ".ninja_log"
    log.write_text("# ninja log v5\n0\t3000\t1\ta.o\tx\n100\t600\t2\tb.o\ty\n5000\t6500\t3\ta.o\tz\n")
    assert build_cost.compiler_seconds(log) == {"a.o": 1.5, "b.o": 0.5}


def test_a_library_beyond_its_bound_is_a_fault():
    name = native.LIBRARY_NAME
    assert build_cost.size_faults({name: build_cost.MOST_BYTES[name]}) == []
    (fault,) = build_cost.size_faults({name: build_cost.MOST_BYTES[name] + 1})
    assert fault.startswith(f"{name}: expected at most")


def test_the_installed_libraries_are_within_their_bounds(tmp_path, capsys):
    log = tmp_path / ".ninja_log"
    log.write_text("# ninja log v5\n0\t2000\t1\ta.o\tx\n")
    assert build_cost.main(["--log", str(log)]) == 0
    assert "1 files: 2 s of one processor" in capsys.readouterr().out


def test_compiling_beyond_the_bound_fails(tmp_path, capsys):
    milliseconds = build_cost.MOST_COMPILER_SECONDS * 1000 + 1000
    log = tmp_path / ".ninja_log"
    log.write_text(f"# ninja log v5\n0\t{milliseconds}\t1\ta.o\tx\n")
    assert build_cost.main(["--log", str(log)]) == 1
    assert "s of compiling, got" in capsys.readouterr().err
