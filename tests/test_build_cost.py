"""tools.build_cost reads what Ninja wrote, and tells a library that is too large."""

import os

from tools import build_cost


def test_a_file_built_twice_counts_once(tmp_path):
    log = tmp_path / ".ninja_log"
    log.write_text("# ninja log v5\n0\t3000\t1\ta.o\tx\n100\t600\t2\tb.o\ty\n5000\t6500\t3\ta.o\tz\n")
    assert build_cost.compiler_seconds(log) == {"a.o": 1.5, "b.o": 0.5}


def test_a_library_beyond_its_bound_is_a_fault(tmp_path):
    library = tmp_path / "liblba_ops.so"
    library.touch()
    os.truncate(library, build_cost.MOST_BYTES)
    assert build_cost.size_faults(library) == []
    os.truncate(library, build_cost.MOST_BYTES + 1)
    (fault,) = build_cost.size_faults(library)
    assert fault == f"liblba_ops.so: expected at most {build_cost.MOST_BYTES} bytes, got {build_cost.MOST_BYTES + 1}"


def test_the_installed_library_is_within_its_bound(tmp_path, capsys):
    log = tmp_path / ".ninja_log"
    log.write_text("# ninja log v5\n0\t2000\t1\ta.o\tx\n")
    assert build_cost.main(["--log", str(log)]) == 0
    assert "1 files: 2 s of one processor" in capsys.readouterr().out
