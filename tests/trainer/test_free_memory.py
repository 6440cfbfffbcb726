"""The memory that is left, read from files laid out as Linux lays them out."""

from pathlib import Path

from trainer import free_memory

GB = 10**9


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def machine(tmp_path, cgroup="", available_kb=8_000_000):
    text = f"MemTotal: 9000000 kB\nMemAvailable:    {available_kb} kB\n"
    return write(tmp_path / "proc", {"meminfo": text, "self/cgroup": cgroup})


def test_a_machine_without_limits_has_what_the_kernel_says(tmp_path):
    assert free_memory.free(machine(tmp_path), tmp_path / "none") == 8_000_000 * 1024
    assert free_memory.free(tmp_path / "none", tmp_path / "none") is None


def test_a_container_has_what_its_cgroup_leaves(tmp_path):
    """Version 2; the cache of files is given back."""
    proc = machine(tmp_path, "0::/\n")
    files = {"memory.max": f"{6 * GB}\n", "memory.current": f"{2 * GB}\n"}
    top = write(tmp_path / "cg", {**files, "memory.stat": f"anon 1\ninactive_file {GB}\n"})
    assert free_memory.free(proc, top) == 5 * GB
    (top / "memory.max").write_text("max\n")
    assert free_memory.free(proc, top) == 8_000_000 * 1024


def test_the_tightest_of_the_groups_above_counts(tmp_path):
    proc = machine(tmp_path, "0::/a/b\n")
    top = write(
        tmp_path / "cg",
        {
            "a/memory.max": str(3 * GB),
            "a/memory.current": str(GB),
            "a/b/memory.max": str(4 * GB),
            "a/b/memory.current": str(GB),
        },
    )
    assert free_memory.free(proc, top) == 2 * GB


def test_version_1_has_other_names_and_its_own_folder(tmp_path):
    proc = machine(tmp_path, "5:cpu:/x\n4:hugetlb,memory:/docker/abc\n0::/\n")
    # In the container the group's own files lie at the top.
    top = write(
        tmp_path / "cg",
        {
            "memory/memory.limit_in_bytes": str(2 * GB),
            "memory/memory.usage_in_bytes": str(GB),
            "memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {GB // 2}\n",
        },
    )
    assert free_memory.free(proc, top) == GB + GB // 2
    (top / "memory/memory.usage_in_bytes").write_text(str(3 * GB))
    (top / "memory/memory.stat").write_text("")
    assert free_memory.free(proc, top) == 0


def test_this_machine_tells(tmp_path):
    """Against Python's own reading of the peak, and the machine's whole memory."""
    import os
    import resource

    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    left, taken = free_memory.free(), free_memory.resident()
    assert left is not None
    assert taken is not None
    assert 0 < left < whole
    assert 0 < taken <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.05
