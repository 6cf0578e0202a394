"""The embedded benchmark: made images that have the known failure modes of weakly supervised segmentation built in.

An object is a small part that only its class has (a head, a cab) on a larger body that other classes have too, in one
of several looks; backgrounds correlate with the classes. So class activation maps find the part, miss the body and leak
into the background. The dials are those of :class:`Benchmark`; everything is drawn by :mod:`wsss_lib.data.scenes`.

``python -m wsss_lib.data.synthetic --out DIR`` writes it; ``--like voc2012`` writes a stand-in of VOC 2012 instead.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from filelock import FileLock

from wsss_lib import paths
from wsss_lib.data.scenes.compose import make_scenes
from wsss_lib.data.scenes.dials import VERSION, Benchmark
from wsss_lib.data.scenes.folder import Digest, write_folder

__all__ = ["VERSION", "Benchmark", "benchmark_hash", "ensure_benchmark", "write_benchmark", "write_stand_in"]

SUMMARY = "benchmark.json"
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
)
#: data set -> folder below DIR and dials of its stand-in
STAND_INS = {
    "voc2012": (
        "VOCdevkit/VOC2012",
        Benchmark(
            side=500, num_train=20, num_train_aug=24, num_val=20, num_test=4, num_classes=20,
            class_names=tuple(VOC_CLASSES.split()), aspects=(500 / 375, 375 / 500, 500 / 333),
        ),
    ),
}  # fmt: skip


def benchmark_hash(benchmark: Benchmark) -> str:
    """SHA-256 of all pixels, masks and annotations before encoding; equal dials and version give equal hashes."""
    digest = Digest()
    for scene in make_scenes(benchmark):
        digest.add(scene)
    return digest.hexdigest()


def _is_written(folder: Path, benchmark: Benchmark) -> bool:
    """Whether the folder holds this benchmark; it is renamed into place when complete, so what is there is whole."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return summary["version"] == VERSION and summary["dials"] == json.loads(json.dumps(asdict(benchmark)))


def _write_into(folder: Path, benchmark: Benchmark) -> Path:
    """Write the benchmark as ``folder``, all or nothing; processes that want the same one wait for the first.

    Raises:
        FileExistsError: there is something else at that path.
        OSError: the disk is full or read-only; the message says where.
    """
    folder = folder.resolve()
    if _is_written(folder, benchmark):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if _is_written(folder, benchmark):
                return folder
            if folder.exists():
                raise FileExistsError(f"{folder} exists and holds something else; remove it or choose another folder")
            for stale in folder.parent.glob(f".{folder.name}.part-*"):
                shutil.rmtree(stale)  # left by a process that was killed
            draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
            try:
                write_folder(draft, benchmark)
                draft.chmod(0o755)
                os.replace(draft, folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    except FileExistsError:
        raise
    except OSError as error:
        remedy = "make room there or choose another folder (WSSS_OUTPUTS for the default one)"
        raise OSError(error.errno, f"could not write the benchmark to {folder}: {error.strerror}; {remedy}") from error
    return folder


def write_benchmark(root: Path, benchmark: Benchmark) -> Path:
    """Write the benchmark as the folder ``root / benchmark.name``, unless it is there; returns that folder.

    The folder holds, side by side, the layout of the PASCAL VOC devkit (``JPEGImages``, ``SegmentationClass``,
    ``SegmentationClassAug``, ``SegmentationObject``, ``Annotations``, ``ImageSets``, ``classes.txt``), COCO instances
    (``annotations``), Visual Genome (``VG_100K``, ``objects.json``, ``attributes.json``, ``region_descriptions.json``,
    ``image_data.json``), the text for word vectors (``scenes.txt``, ``nouns.csv``), groups of class and background
    (``groups.csv``; ``metadata.csv``, ``images.txt``, ``bounding_boxes.txt`` as of Waterbirds and CUB), and
    ``benchmark.json`` with dials and hash. ``y`` is 1 for classes at home on water, ``place`` 1 for water behind them.

    Raises:
        FileExistsError: there is something else at that path.
        OSError: the disk is full or read-only.
    """
    return _write_into(Path(root) / benchmark.name, benchmark)


def ensure_benchmark(benchmark: Benchmark | None = None) -> Path:
    """Folder of the benchmark (default dials: the demo's) below ``paths.benchmarks_root()``, written if not there."""
    return write_benchmark(paths.benchmarks_root(), benchmark or Benchmark())


def write_stand_in(root: Path, name: str) -> Path:
    """Write a small stand-in of a real data set in its own layout below ``root``, and return its folder.

    Raises:
        KeyError: no stand-in of that name.
        FileExistsError: the real data set, or something else, is at that path.
    """
    if name not in STAND_INS:
        raise KeyError(f"no stand-in for {name!r}; there are {', '.join(STAND_INS)}")
    folder, benchmark = STAND_INS[name]
    return _write_into(Path(root) / folder, benchmark)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wsss_lib.data.synthetic", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--like", choices=sorted(STAND_INS), help="stand-in of a real data set; takes no dials")
    for dial in fields(Benchmark):
        option = f"--{dial.name.replace('_', '-')}"
        if isinstance(dial.default, bool):
            parser.add_argument(option, action="store_true", default=None)
        elif isinstance(dial.default, tuple):
            kind = float if dial.name == "aspects" else str
            parser.add_argument(option, type=kind, nargs="+", help="one or more")
        else:
            parser.add_argument(option, type=type(dial.default), help=f"default {dial.default}")
    return parser


def main(arguments: Sequence[str] | None = None) -> Path:
    """Command line; prints and returns the folder."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    out, like = options.pop("out"), options.pop("like")
    dials = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items() if value is not None
    }
    if like and dials:
        parser.error(f"--like {like} takes no dials, but {', '.join(dials)} was given")
    try:
        folder = write_stand_in(out, like) if like else write_benchmark(out, Benchmark(**dials))
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
    print(folder)
    return folder


if __name__ == "__main__":
    main()
