"""Fetch data sets and weight files: ``./run_all.sh download NAME``, or ``python -m wsss_lib.data.download NAME``.

Downloads resume where they broke off, archives are unpacked so that no member leaves the folder, and a file or folder
under its final name is whole. A checksum is compared where its source is known (torchvision's code); where none is
known, the SHA-256 of the first download that unpacks is recorded beside the file and later ones are compared with it.
"""

import argparse
import hashlib
import os
import shutil
import ssl
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

BLOCK = 1 << 20
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")


class DownloadError(RuntimeError):
    """What was fetched cannot be used; the message says what to do."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch.

    Attributes:
        url: where it is.
        name: file name here.
        checksum: ``md5:`` or ``sha256:`` and the first digits of the hash or all of them; empty if none is known.
    """

    url: str
    name: str
    checksum: str = ""

    @property
    def is_archive(self) -> bool:
        return self.name.endswith(ARCHIVES) and not self.name.endswith(".pth.tar")  # old name of PyTorch weights


@dataclass(frozen=True)
class Item:
    """What one NAME of the command line brings.

    Attributes:
        what: one line for the list.
        size: about how much is fetched; ? where it was not looked up.
        files: what is fetched; archives are unpacked.
        folder: where it goes, below the folder of data sets.
        by_hand: what the user has to do himself.
        gives: what parameters name afterwards beside plain files, below the folder of data sets.
    """

    what: str
    size: str = "?"
    files: tuple[RemoteFile, ...] = ()
    folder: str = "."
    by_hand: str = ""
    gives: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """What parameters may name afterwards, below the folder of data sets."""
        files = [f"{self.folder}/{remote.name}" for remote in self.files if not remote.is_archive]
        return (*self.gives, *files)


def remote_files(base: str, *names: str) -> tuple[RemoteFile, ...]:
    """Files below one address, without known checksums.

    >>> remote_files("https://host", "zips/train.zip?download=1")[0].name
    'train.zip'
    """
    return tuple(RemoteFile(f"{base}/{name}", PurePosixPath(name.partition("?")[0]).name) for name in names)


VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
SBD = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours"
COCO = "http://images.cocodataset.org"
COCO_SPLIT = "https://polybox.ethz.ch/index.php/s"
GENOME_IMAGES = "https://cs.stanford.edu/people/rak248/VG_100K_2"
GENOME_JSON = "https://homes.cs.washington.edu/~ranjay/visualgenome/data/dataset"
KTSE = "https://ktse.oss-cn-shanghai.aliyuncs.com"
BCOS = "https://nextcloud.mpi-klsb.mpg.de/index.php/s/3Yk6p86SBBFYSBN/download"
BCOS_V2 = "https://github.com/B-cos/B-cos-v2/releases/download/v0.0.1-weights"
XDNN = "https://download.visinf.tu-darmstadt.de/data/2021-neurips-fast-axiomatic-attribution/models"
DRIVE = "https://drive.google.com"
GITHUB = "https://github.com"

# checksums: torchvision 0.26, datasets/voc.py, datasets/sbd.py, models/resnet.py (there the file name holds the hash)
VOC2007_TRAINVAL = RemoteFile(
    f"{VOC}/voc2007/VOCtrainval_06-Nov-2007.tar", "VOCtrainval_06-Nov-2007.tar", "md5:c52e279531787c972589f7e41ab4ae64"
)
VOC2007_TEST = RemoteFile(
    f"{VOC}/voc2007/VOCtest_06-Nov-2007.tar", "VOCtest_06-Nov-2007.tar", "md5:b6e924de25625d8de591ea690078ad9f"
)
VOC2012_TRAINVAL = RemoteFile(
    f"{VOC}/voc2012/VOCtrainval_11-May-2012.tar", "VOCtrainval_11-May-2012.tar", "md5:6cd6e144f989b92b3379bac3b3de84fd"
)
SBD_ALL = RemoteFile(f"{SBD}/benchmark.tgz", "benchmark.tgz", "md5:82b4d87ceb2ed10f6038a1cba92111cb")
RESNET101 = RemoteFile(
    "https://download.pytorch.org/models/resnet101-cd907fc2.pth", "resnet101-cd907fc2.pth", "sha256:cd907fc2"
)

ITEMS = {
    "voc2007": Item(
        "PASCAL VOC 2007, train, val and test",
        "0.9 GB",
        (VOC2007_TRAINVAL, VOC2007_TEST),
        gives=("VOCdevkit/VOC2007",),
    ),
    "voc2012": Item("PASCAL VOC 2012, train and val", "2 GB", (VOC2012_TRAINVAL,), gives=("VOCdevkit/VOC2012",)),
    "voc_aug": Item(
        "SegmentationClassAug: masks of train_aug and val as PNG, into VOCdevkit/VOC2012",
        files=remote_files("https://www.dropbox.com/s/oeu149j8qtbs1x0", "SegmentationClassAug.zip?dl=1"),
        folder="VOCdevkit/VOC2012",
    ),
    "sbd": Item("Semantic Boundaries Dataset, which makes VOC train_aug", "1.4 GB", (SBD_ALL,), "sbd"),
    "coco2014": Item(
        "MS COCO 2014, train and val",
        "20 GB",
        remote_files(COCO, "annotations/annotations_trainval2014.zip", "zips/val2014.zip", "zips/train2014.zip"),
        "coco2014",
        gives=("coco2014",),
    ),
    "coco2014_split": Item(
        "split of COCO train2014 that the model guidance seed uses",
        by_hand=f"open {COCO_SPLIT}/a7x8TgZFE3R1vcY, {COCO_SPLIT}/Qu4238P6BJp6LBi and {COCO_SPLIT}/sfrdSn6pBamlDGf in "
        "a browser and put the three files (train2014_train_split.json, train2014_val_split.json, and the annotations "
        "of val2014) into coco2014/annotations",
    ),
    "coco2014_labels": Item(
        "BECO: pseudo labels and confidence masks of COCO train2014",
        by_hand=f"their address is not known here, {GITHUB}/ShenghaiRong/BECO may name it; put the folders sem_seg and "
        "mask_irn into coco2014",
        gives=("coco2014/sem_seg", "coco2014/mask_irn"),
    ),
    "coco2017": Item(
        "MS COCO 2017, train and val",
        "20 GB",
        remote_files(COCO, "annotations/annotations_trainval2017.zip", "zips/val2017.zip", "zips/train2017.zip"),
        "coco2017",
        gives=("coco2017",),
    ),
    "visual_genome": Item(
        "Visual Genome: objects, attributes, regions, photographs",
        "16 GB",
        remote_files(
            GENOME_JSON,
            "image_data.json.zip",
            "objects.json.zip",
            "attributes.json.zip",
            "region_descriptions.json.zip",
            "object_alias.txt",
        )
        + remote_files(GENOME_IMAGES, "images.zip", "images2.zip"),
        "visual_genome",
        gives=("visual_genome",),
    ),
    "waterbirds": Item(
        "Waterbirds, 95 % of the birds on their usual background",
        files=remote_files("https://nlp.stanford.edu/data/dro", "waterbird_complete95_forest2water2.tar.gz"),
        folder="waterbirds",
    ),
    "waterbirds100": Item(
        "Waterbirds-100, every bird of train and val on its usual background; its boxes are those of cub",
        by_hand="its address is not known here (waterbirds is another set); put the folder waterbird_1.0_forest2water2 "
        "(metadata.csv and the photographs)",
        gives=("waterbird_1.0_forest2water2",),
    ),
    "cub": Item(
        "Caltech-UCSD Birds 200-2011, with boxes and masks",
        "1.2 GB",
        remote_files("https://data.caltech.edu/records/65de6-vp158/files", "CUB_200_2011.tgz?download=1")
        + remote_files("https://data.caltech.edu/records/w9d68-gec53/files", "segmentations.tgz?download=1"),
        "cub",
        gives=("cub/CUB_200_2011", "cub/CUB_200_2011/bounding_boxes.txt"),
    ),
    "glove": Item(
        "GloVe 6B word vectors, 50 to 300 dimensions",
        "0.9 GB",
        remote_files("https://nlp.stanford.edu/data", "glove.6B.zip"),
        "glove",
        gives=tuple(f"glove/glove.6B.{dimensions}d.txt" for dimensions in (50, 100, 200, 300)),
    ),
    "lavise": Item(
        "LaViSE: trained explainers, label tables of COCO and Visual Genome, list of entities",
        by_hand=f"the notebook of {GITHUB}/ErikBuis/FACT2023 links four explainers (ResNet-18 and 50 of Visual Genome, "
        f"ResNet-18 and AlexNet of COCO) on {DRIVE}, put them into weights/lavise for the parameter checkpoint; the "
        f"folder data of {GITHUB}/YuYang0901/LaViSE has coco_label_embedding.pth, vg_labels.pkl and entities.txt",
    ),
    "resnet38": Item(
        "ImageNet weights of Wide ResNet-38, MXNet format",
        files=remote_files(KTSE, "ilsvrc-cls_rna-a1_cls1000_ep-0001.params"),
        folder="weights",
    ),
    "resnet101": Item("ImageNet weights of ResNet-101 (version 2), for DeepLab", "0.2 GB", (RESNET101,), "weights"),
    "deeplab_coco": Item(
        "COCO weights of DeepLab's ResNet-101 in the style of Caffe, for DeepLab v2",
        by_hand="its address is not known here, the configs/voc12.yaml of "
        f"{GITHUB}/kazuto1011/deeplab-pytorch starts from it; put deeplabv1_resnet101-coco.pth into weights/deeplab",
        gives=("weights/deeplab/deeplabv1_resnet101-coco.pth",),
    ),
    "resnet101_v1c": Item(
        "ImageNet weights of the ResNet-101 of BECO's own networks",
        by_hand=f"its address is not known here, {GITHUB}/ShenghaiRong/BECO may name it; put resnet101_v1c.pth into "
        "weights/beco",
        gives=("weights/beco/resnet101_v1c.pth",),
    ),
    "ktse_classifier": Item(
        "KTSE: trained network of stage 1", files=remote_files(KTSE, "039net_main.pth"), folder="weights/ktse"
    ),
    "ktse_deeplab": Item(
        "KTSE: trained segmentation network",
        files=remote_files(KTSE, "best_ckpt_KTSE_73.0.pth"),
        folder="weights/ktse",
    ),
    "ktse_labels": Item("KTSE: pseudo labels of train_aug", files=remote_files(KTSE, "sem_seg.zip"), folder="ktse"),
    "ktse_masks": Item("KTSE: confidence masks of train_aug", files=remote_files(KTSE, "mask_irn.zip"), folder="ktse"),
    "bcos_resnet50": Item(
        "ImageNet weights of B-cos ResNet-50, as the model guidance seed uses them",
        files=(RemoteFile(BCOS, "resnet_50-f46c1a4159.pth"),),
        folder="weights/bcos",
    ),
    "bcos_v2_resnet50": Item(
        "ImageNet weights of B-cos v2 ResNet-50",
        files=remote_files(BCOS_V2, "resnet_50-ead259efe4.pth"),
        folder="weights/bcos",
    ),
    "xdnn_resnet50": Item(
        "ImageNet weights of X-DNN (fixup) ResNet-50",
        files=remote_files(XDNN, "xfixup_resnet50_model_best.pth.tar"),
        folder="weights/xdnn",
    ),
    "sc_cam": Item(
        "trained networks of SC-CAM",
        by_hand=f"open {DRIVE}/file/d/1YB3DkHiBeUH5wn6shk93jChvXwfOxwBE/view in a browser and put the file into "
        "weights/sc_cam",
    ),
    "mva_wsss": Item(
        "trained networks of the sub-category and mixing seed",
        by_hand=f"open {DRIVE}/drive/folders/1rVqg51eHIUuzNY9tzQES2kGpGV7wp5Oz in a browser and put the files into "
        "weights/mva_wsss",
    ),
}


def hash_of(path: Path, algorithm: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _request(url: str, start: int, tag: str) -> HTTPResponse:
    """Ask for a file from byte ``start`` on, or for all of it if it is no longer the one with this ``tag``."""
    headers = {"User-Agent": "wsss-lib", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)


def _fetch_once(remote: RemoteFile, part: Path, progress: bool) -> None:
    """One attempt to complete ``part``, which may hold a beginning; an error leaves what came."""
    tag_file = part.with_suffix(".tag")
    start = part.stat().st_size if part.exists() else 0
    try:
        response = _request(remote.url, start, tag_file.read_text() if tag_file.exists() else "")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing from that byte on
            raise
        if (error.headers.get("Content-Range") or "").rpartition("/")[2] == str(start):
            return
        response, start = _request(remote.url, 0, ""), 0
    with response:
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(f"{remote.url} answers with a web page; open it in a browser and save {part.stem} here")
        if response.status != 206:
            start = 0
        elif not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            raise ConnectionError(f"the server sent {response.headers.get('Content-Range')!r} from byte {start} on")
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        tag_file.write_text("" if tag.startswith("W/") else tag)
        _append(response, part, start, progress)


def _append(response: HTTPResponse, part: Path, start: int, progress: bool) -> None:
    """Write what comes behind the first ``start`` bytes of ``part``."""
    length = int(response.headers.get("Content-Length") or 0)
    if length > shutil.disk_usage(part.parent).free:
        raise DownloadError(f"{part.parent} has no room for {length / 1e9:.1f} GB; free some space and run again")
    bar = tqdm(total=start + length or None, initial=start, unit="B", unit_scale=True, desc=part.stem,
               disable=not progress)  # fmt: skip
    with open(part, "ab") as stream, bar:
        stream.truncate(start)
        while block := response.read(BLOCK):
            stream.write(block)
            bar.update(len(block))
    if length and part.stat().st_size != start + length:
        raise ConnectionError(f"it broke off at {part.stat().st_size} of {start + length} bytes")


def _record(path: Path, remote: RemoteFile) -> Path:
    """Where the hash of a first download is kept."""
    return path.with_name(f"{remote.name}.sha256")


def verify(path: Path, remote: RemoteFile) -> str:
    """Compare a file with its checksum, or with the hash recorded in its folder; record the hash of a first download.

    Returns:
        What was compared, for the user.

    Raises:
        DownloadError: it differs.
    """
    record = _record(path, remote)
    if remote.checksum:
        algorithm, _, expected = remote.checksum.partition(":")
        source = "the known checksum"
    elif record.exists():
        algorithm, expected = "sha256", record.read_text().split()[0]
        source = f"the hash of the first download (delete {record} if a new file is expected)"
    else:
        found = hash_of(path, "sha256")
        record.write_text(f"{found}  {remote.name}\n")
        return f"no checksum is published; sha256 {found} of this first download is recorded in {record.name}"
    found = hash_of(path, algorithm)
    if not found.startswith(expected):
        raise DownloadError(f"{remote.name} has {algorithm} {found}, which is not {expected}, {source}")
    return f"{algorithm} agrees with {source}"


def fetch(remote: RemoteFile, folder: Path, *, progress: bool = True, attempts: int = 5, pause: float = 2.0) -> Path:
    """Bring one file; one that is there already and agrees with its hash is kept.

    Args:
        remote: what to fetch.
        folder: where to put it.
        progress: show a bar.
        attempts: tries in all; each goes on where the last broke off.
        pause: between tries, s.

    Returns:
        Path of the file, which is whole.

    Raises:
        DownloadError: the server does not give the file, or gives another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    if path.exists():
        try:
            print(f"{path} is there: {verify(path, remote)}")
        except DownloadError as error:
            raise DownloadError(f"{error}; delete {path} to fetch it again") from None
        return path
    for attempt in range(1, attempts + 1):
        try:
            _fetch_once(remote, part, progress)
            break
        except (urllib.error.URLError, ConnectionError, TimeoutError, HTTPException, ssl.SSLError) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == attempts:
                kept = f"; {part.stat().st_size} bytes are kept, run again to go on" if part.exists() else ""
                raise DownloadError(f"{remote.url} could not be fetched ({error}){kept}") from error
            time.sleep(pause)
    try:
        print(f"{remote.name}: {verify(part, remote)}")
    except DownloadError as error:
        part.unlink()
        raise DownloadError(f"{error}; it was deleted, run again or look whether {remote.url} changed") from None
    finally:
        part.with_suffix(".tag").unlink(missing_ok=True)
    return part.replace(path)


def _write_member(archive: Path, folder: Path, name: str, source: IO[bytes] | None) -> None:
    """Write one member of an archive (a folder if there is no ``source``) where its name says, inside ``folder``."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DownloadError(f"{archive} was not unpacked: its member {name!r} leads out of the folder")
    target = folder / path
    if source is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, open(target, "wb") as stream:
        shutil.copyfileobj(source, stream, BLOCK)


def _unpack_tar(archive: Path, folder: Path, progress: bool) -> None:
    """Write files and folders; a link becomes a copy of the file of the archive that it names, never a link."""
    with tarfile.open(archive) as members:
        for member in tqdm(members, unit=" files", desc=f"unpack {archive.name}", disable=not progress):
            if not (member.isreg() or member.isdir() or member.islnk() or member.issym()):
                raise DownloadError(f"{archive} was not unpacked: its member {member.name!r} is a device")
            try:
                source = None if member.isdir() else members.extractfile(member)
            except KeyError:
                raise DownloadError(
                    f"{archive} was not unpacked: its member {member.name!r} is a link to {member.linkname!r}, "
                    "which is not in the archive"
                ) from None
            _write_member(archive, folder, member.name, source)


def _unpack_zip(archive: Path, folder: Path, progress: bool) -> None:
    with zipfile.ZipFile(archive) as members:
        for member in tqdm(members.infolist(), unit=" files", desc=f"unpack {archive.name}", disable=not progress):
            _write_member(archive, folder, member.filename, None if member.is_dir() else members.open(member))


def _merge(source: Path, target: Path) -> None:
    """Move everything below ``source`` to ``target``; what is not there yet arrives by one rename."""
    for entry in source.iterdir():
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _merge(entry, place)
        else:
            os.replace(entry, place)


def unpack(archive: Path, folder: Path, *, progress: bool = True) -> Path:
    """Unpack a tar or zip archive into a folder; nothing of it stays if it is bad.

    Raises:
        DownloadError: it is damaged, or a member would leave the folder, or is a device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / f".{archive.name}.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    try:
        (_unpack_zip if archive.suffix == ".zip" else _unpack_tar)(archive, unpacked, progress)
        _merge(unpacked, folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the archive's
        reason = "; ".join(str(error).split("\n"))
        raise DownloadError(f"{archive} cannot be unpacked ({reason}); delete it and run again") from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return folder


def download(
    name: str, root: Path, *, items: Mapping[str, Item] = ITEMS, keep_archives: bool = True, progress: bool = True
) -> None:
    """Bring one item into the folder of data sets; what was unpacked before is not fetched again.

    Raises:
        DownloadError: unknown name, something to do by hand, or see :func:`fetch` and :func:`unpack`.
    """
    if name not in items:
        raise DownloadError(f"nothing is called {name!r}; choose from {', '.join(items)}")
    item = items[name]
    if item.by_hand:
        raise DownloadError(f"this cannot be fetched by a program: {item.by_hand} below {root}")
    folder = root / item.folder
    for remote in item.files:
        done = folder / f".{remote.name}.done"
        if done.exists():
            print(f"{remote.name}: unpacked before, as {done} says; delete that to fetch it again")
            continue
        path = fetch(remote, folder, progress=progress)
        if remote.is_archive:
            try:
                unpack(path, folder, progress=progress)
            except DownloadError:
                if not remote.checksum:
                    _record(path, remote).unlink(missing_ok=True)  # a damaged first file does not fix its hash
                raise
            done.touch()
            if not keep_archives:
                path.unlink()


def _list(items: Mapping[str, Item]) -> Iterator[str]:
    for name, item in items.items():
        places = f", as {', '.join(item.paths)}" if item.paths else ""
        yield f"{name:18} {item.size:>7}  {item.what}{places}" + (f"; by hand: {item.by_hand}" if item.by_hand else "")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wsss_lib.data.download", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch; --list shows the names")
    parser.add_argument("--out", type=Path, help="folder of data sets; default $WSSS_DATA")
    parser.add_argument("--list", action="store_true", help="show what can be fetched")
    parser.add_argument("--remove-archives", action="store_true", help="delete archives once they are unpacked")
    options = parser.parse_args(arguments)
    if options.list or not options.names:
        print("\n".join(_list(ITEMS)))
        return 0
    called_from = os.environ.get("WSSS_CALLED_FROM", "")  # run_all.sh changes to its own folder
    root = Path(called_from, options.out) if options.out else os.environ.get("WSSS_DATA")
    if not root:
        print("no folder: name one with --out, or set the environment variable WSSS_DATA to yours", file=sys.stderr)
        return 2
    for name in options.names:
        try:
            download(name, Path(root), keep_archives=not options.remove_archives)
        except (DownloadError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
