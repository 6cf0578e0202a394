"""The whole: small notebooks executed as a user executes them, broken and killed, and started again."""

import os
import platform
import re
import signal
import stat
from itertools import pairwise

import pytest

from wsss_lib.files import missing_files
from wsss_lib.tests.workflow.toy import wait_until
from wsss_lib.workflow.runner import processor
from wsss_lib.workflow.states import read_state


def states(printed: str) -> dict[str, str]:
    """Last state of every run in what was printed line by line."""
    lines = re.findall(
        r"^(running|done|failed|not run|interrupted) +(\d\d_\w+/[\w-]+)(?=\s)", printed, flags=re.MULTILINE
    )
    return {run_id: state for state, run_id in lines}


def processes(text: str) -> list[int]:
    """Processes whose command line holds ``text``."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    words = stream.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in words and int(entry) != os.getpid():
                found.append(int(entry))
    return found


def test_a_failing_notebook_stops_only_what_depends_on_it(toy):
    toy.params("20_break", "demo", fail="cell")
    toy.params("20_break", "demo_kernel", fail="kernel")
    toy.params("20_break", "demo_unfinished", fail="finish")
    expected = toy.stale("demo", "--grid")
    code, printed = toy.run("demo", "--grid", "--jobs", "2")
    assert code == 1, printed
    assert states(printed) == {
        "10_cam/demo": "done",
        "16_affinity/demo": "done",
        "20_break/demo": "failed",
        "20_break/demo_kernel": "failed",
        "20_break/demo_unfinished": "failed",
        "21_after/demo": "not run",
        "90_report/demo": "done",
    }, printed
    assert set(states(printed)) == expected, "--list says what runs"
    assert "3 done, 0 up to date, 3 failed, 1 not run" in printed
    assert "failed   20_break/demo: ValueError: the maps are empty" in printed
    assert "failed   20_break/demo_kernel: DeadKernelError" in printed
    assert "failed   20_break/demo_unfinished: the page ended without run.finish" in printed
    assert "not run  21_after/demo because of 20_break/demo" in printed
    assert f"report   {toy.file('90_report/demo', 'index.html')}" in printed
    assert 'href="../../10_cam/demo/notebook.html">10_cam/demo<' in toy.file("90_report/demo", "index.html").read_text()
    page, notebook = toy.file("20_break/demo", "notebook.html"), toy.file("20_break/demo", "notebook.ipynb")
    assert "the maps are empty" in notebook.read_text() and "This run failed" in page.read_text()
    assert toy.record("20_break/demo") is None and not toy.project.folder("21_after/demo").exists()
    assert toy.file("90_report/demo", "runs.csv").read_text().split() == ["10_cam/demo", "16_affinity/demo"]

    record = toy.record("16_affinity/demo")
    assert record["processor"] == processor() != ""
    assert record["inputs"] == {"10_cam/demo": toy.record("10_cam/demo")["hash"]}
    assert set(record["files"]) == {"labels.csv", "notebook.ipynb", "notebook.html"}
    assert missing_files(toy.project.folder("16_affinity/demo")) == []
    source = toy.file("16_affinity/demo", "notebook.ipynb").read_text()
    assert "papermill" not in source and str(toy.root) not in source and 'maps_from = \\"10_cam/demo\\"' in source
    assert "<math" in toy.file("16_affinity/demo", "notebook.html").read_text()

    toy.params("20_break", "demo")
    expected = toy.stale("demo")
    assert expected == {"20_break/demo", "21_after/demo", "90_report/demo"}
    code, printed = toy.run("demo")
    assert code == 0 and states(printed) == dict.fromkeys(expected, "done"), printed
    assert toy.stale("demo") == set()
    assert len(toy.file("90_report/demo", "runs.csv").read_text().split()) == 4
    code, printed = toy.run("demo")
    assert code == 0 and "0 runs" in printed and "0 done, 5 up to date, 0 failed" in printed, printed


def test_the_longest_way_to_the_end_is_begun_first(toy):
    for stem, takes in {"10_cam": 20, "16_affinity": 60, "20_break": 70, "21_after": 5}.items():
        reads = {"16_affinity": {"maps_from": "10_cam/demo"}, "21_after": {"maps_from": "20_break/demo"}}
        toy.params(stem, "demo", takes=f"{takes} s, 1 MB", **reads.get(stem, {}))
    code, printed = toy.run("demo", "--jobs", "1")
    assert code == 0, printed
    begun = re.findall(r"^running +(\d\d)_", printed, flags=re.MULTILINE)
    assert begun == ["10", "20", "16", "21", "90"], printed


@pytest.mark.parametrize(
    "listing, named",
    [
        (
            "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: EPYC\nflags\t\t: avx avx2 avx512f\n",
            "family 25, model 17, avx512f",
        ),
        ("model name\t: Old\nflags\t\t: sse avx\n\nmodel name\t: second core\n", "Old, avx"),
        ("Features\t: asimd\n", platform.machine()),
        (None, platform.processor() or platform.machine()),
    ],
)
def test_a_record_names_the_processor(tmp_path, listing, named):
    if listing is not None:
        (tmp_path / "cpuinfo").write_text(listing, encoding="utf-8")
    assert processor(tmp_path / "cpuinfo").endswith(named)


def test_killed_in_the_middle_of_a_file_and_started_again_it_completes(toy):
    """The launcher, then a runner, are killed by force while half of a file is written; at once a new one starts."""
    toy.params("10_cam", "demo", seconds=600.0)
    folder = toy.project.folder("10_cam/demo")
    made = folder / "maps/a.npz"

    def writing():
        kernels = processes(f"{toy.project.state}/locks/10_cam__demo.kernel.lock")
        halves = [made.with_name(f".{made.name}.{kernel}.part") for kernel in kernels]
        return any(half.exists() and half.stat().st_size for half in halves)

    launcher = toy.start("demo", "--only", "16_affinity")
    wait_until(writing)
    code, printed = toy.run("demo", "--only", "16_affinity")
    assert code == 75 and "another ./run_all.sh is at work" in printed
    first = read_state(toy.project.state, "10_cam/demo")["pid"]
    orphans = processes(str(toy.root))
    launcher.kill()
    launcher.communicate()
    assert toy.record("10_cam/demo") is None and not made.exists() and len(orphans) >= 2

    second = toy.start("demo", "--only", "16_affinity")
    wait_until(lambda: not set(orphans) & set(processes(str(toy.root))))
    wait_until(lambda: read_state(toy.project.state, "10_cam/demo").get("pid", first) != first)
    wait_until(writing)
    os.kill(read_state(toy.project.state, "10_cam/demo")["pid"], signal.SIGKILL)
    printed, _ = second.communicate(timeout=300)
    assert second.returncode == 1, printed
    assert "failed   10_cam/demo: its process ended without a word" in printed
    assert "not run  16_affinity/demo because of 10_cam/demo" in printed
    assert toy.record("10_cam/demo") is None and not made.exists()
    assert toy.stale("demo", "--only", "16_affinity") == {"10_cam/demo", "16_affinity/demo"}

    code, printed = toy.run("demo", "--only", "16_affinity", "--set", "seconds=0")
    assert code == 2 and "unknown parameter 'seconds'" in printed
    toy.params("10_cam", "demo")
    code, printed = toy.run("demo", "--only", "16_affinity")
    assert code == 0 and states(printed) == {"10_cam/demo": "done", "16_affinity/demo": "done"}, printed
    assert missing_files(folder) == [] and made.read_text() == "0 [1]"
    assert toy.stale("demo", "--only", "16_affinity") == set()
    assert processes(str(toy.root)) == []


def test_an_interrupt_keeps_what_is_finished(toy):
    toy.params("10_cam", "demo_long", seconds=600.0)
    toy.params("20_break", "demo", fail="cell")
    process = toy.start("demo", "--only", "10_cam", "20_break", "90_report", "--grid", "--jobs", "2")
    wait_until(lambda: toy.record("10_cam/demo") and toy.file("10_cam/demo_long", "notebook.ipynb").exists())
    wait_until(lambda: read_state(toy.project.state, "20_break/demo")["state"] == "failed")
    toy.write("outputs/90_report/demo/index.html", "an old report")
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "finished runs are kept" in printed, printed
    assert states(printed) == {"10_cam/demo": "done", "10_cam/demo_long": "interrupted", "20_break/demo": "failed"}
    assert "failed   20_break/demo: " in printed and "index.html" not in printed
    wait_until(lambda: processes(str(toy.root)) == [])
    assert toy.stale("demo", "--only", "10_cam", "--grid") == {"10_cam/demo_long"}


def test_pretended_gpus_are_shared_out_and_cores_too(toy):
    toy.params("10_cam", "demo", seconds=1.0)
    code, printed = toy.run("--only", "10_cam", "--seeds", "3", CUDA_VISIBLE_DEVICES="0,1", TMPDIR=str(toy.root))
    assert code == 0 and "3 runs, 2 at a time" in printed and "2 GPUs" in printed, printed
    spans = []
    for name in ("demo", "demo-seed1", "demo-seed2"):
        begun, ended, gpu, threads = toy.file(f"10_cam/{name}", "when.csv").read_text().split()
        spans.append((gpu, float(begun), float(ended)))
        assert int(threads) == max(1, len(os.sched_getaffinity(0)) // 2)
    assert {gpu for gpu, *_ in spans} == {"0", "1"}
    for gpu in ("0", "1"):
        own = sorted(span[1:] for span in spans if span[0] == gpu)
        assert all(first[1] <= second[0] for first, second in pairwise(own)), spans
    assert toy.file("10_cam/demo-seed2", "maps/a.npz").read_text() == "2 [1]"

    toy.write("photographs/a.jpg", "")
    code, printed = toy.run("predict", "--from", "10_cam/demo-seed2", "--images", "photographs", "--out", "mine")
    assert code == 0 and "1 run, " in printed, printed
    assert f"maps     {toy.file('10_cam/mine', 'maps')} (1 files)" in printed
    record = toy.record("10_cam/mine")
    assert record["parameters"]["seed"] == 2 and record["parameters"]["data"] == str(toy.root / "photographs")
    assert record["inputs"] == {} and toy.file("10_cam/mine", "notebook.html").exists()


def test_the_benchmark_is_written_before_the_runs_that_use_it(toy):
    toy.write("wsss_lib/data/__init__.py", "")
    toy.write("wsss_lib/data/synthetic.py", "def ensure_benchmark():\n    raise OSError('no room for the benchmark')\n")
    code, printed = toy.run("--only", "10_cam", "--set", "data=benchmark")
    assert code == 1 and "run_all.sh: OSError: no room for the benchmark" in printed and "Traceback" not in printed
    assert not toy.project.folder("10_cam/demo").exists()


STUBS = {
    # runs the job at once in the background, as a node would, with a GPU handed out
    "sbatch": """echo "$@" >>"$STUBS/asked"
n=$(($(cat "$STUBS/count" 2>/dev/null || echo 100) + 1)); echo $n >"$STUBS/count"
while [ $# -gt 0 ]; do case "$1" in
  --wrap) shift; wrap=$1;; --wrap=*) wrap=${1#--wrap=};;
  --parsable) ;; *) : ;; esac; shift; done
[ -n "${wrap:-}" ] || wrap=$(cat)
(SLURM_JOB_ID=$n SLURM_JOBID=$n CUDA_VISIBLE_DEVICES=7 bash -c "$wrap" >"$STUBS/log-$n" 2>&1
 [ $? = 0 ] && echo COMPLETED >"$STUBS/state-$n" || echo FAILED >"$STUBS/state-$n") </dev/null >/dev/null 2>&1 &
echo $n""",
    "sacct": """for f in "$STUBS"/log-*; do [ -e "$f" ] || continue; n=${f##*-}
  echo "$n|$(cat "$STUBS/state-$n" 2>/dev/null || echo RUNNING)"; done""",
    "squeue": """for f in "$STUBS"/log-*; do [ -e "$f" ] || continue; n=${f##*-}
  echo "$n|$(cat "$STUBS/state-$n" 2>/dev/null || echo RUNNING)"; done""",
    "scontrol": "echo 'MinJobAge               = 300 sec'",
    "sacctmgr": "echo lab",
    "sshare": "echo lab",
    "sinfo": "echo PARTITION; echo 'short*'",
    "scancel": 'echo "scancel $@" >>"$STUBS/asked"',
    "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
}


@pytest.fixture
def cluster(toy):
    """Stub commands of slurm, and a profile that looks at jobs every second."""
    folder = toy.root / "stubs"
    for name, body in STUBS.items():
        path = toy.write(f"stubs/{name}", f"#!/bin/bash\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    profile = toy.root / "wsss_lib/workflow/profiles/slurm/config.yaml"
    hurried = profile.read_text() + "slurm-init-seconds-before-status-checks: 2\nseconds-between-status-checks: 2\n"
    profile.write_text(hurried.replace("latency-wait: 60", "latency-wait: 5"))
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "STUBS": str(folder)}


def test_the_same_project_runs_on_a_cluster(toy, cluster):
    code, printed = toy.run("--on", "slurm", "--only", "10_cam", **cluster)
    log = (toy.project.state / "snakemake.log").read_text()
    assert code == 0 and states(printed) == {"10_cam/demo": "done"}, printed + log[-3000:]
    asked = (toy.root / "stubs/asked").read_text()
    assert "--gpus=1" in asked and "--mem 16000" in asked and "-t 11" in asked and "--cpus-per-task=4" in asked, asked
    _, _, gpu, threads = toy.file("10_cam/demo", "when.csv").read_text().split()
    assert (gpu, threads) == ("7", "4"), "on a node slurm hands out the GPU and the cores"
    assert toy.stale("--only", "10_cam") == set(), "the machine does not make a run stale"
