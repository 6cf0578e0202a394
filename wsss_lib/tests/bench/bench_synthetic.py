"""Speed of writing the embedded benchmark."""

import tempfile
from pathlib import Path

from wsss_lib.data.synthetic import SUMMARY, Benchmark, benchmark_hash, write_benchmark
from wsss_lib.store import read_json
from wsss_lib.tests.bench import benchmark


@benchmark("embedded benchmark, 1,600 images (slow: only drawn)", seconds=20, tolerance=0, repeats=2)
def the_embedded_benchmark():
    """The first form draws the images and writes none; what is compared is the hash of their pixels."""

    def number(digest: str) -> int:
        return int(digest[:8], 16)

    def written():
        with tempfile.TemporaryDirectory() as folder:
            return number(read_json(write_benchmark(Path(folder), Benchmark()) / SUMMARY)["hash"])

    return lambda: number(benchmark_hash(Benchmark())), written
