import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from wsss_lib.data import download as module
from wsss_lib.data.download import ITEMS, DownloadError, Item, RemoteFile, download, fetch, main, unpack

CONTENT = bytes(range(256)) * 500


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``cut`` breaks answers off after so many bytes, as often as it says."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/file.bin": CONTENT}
        self.cut: list[int] = []
        self.ranges: list[str | None] = []
        self.status: list[int] = []
        self.knows_ranges = True
        self.content_type = "application/octet-stream"

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if self.server.status:
            return self.send_error(self.server.status.pop(0))
        content = self.server.files.get(self.path)
        if content is None:
            return self.send_error(404)
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        if wanted and self.server.knows_ranges and self.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return None
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.cut.pop(0) if self.server.cut else None])
        return None

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bring(server, tmp_path):
    """Fetch /file.bin with a given checksum."""

    def bring(checksum: str = "", **options):
        remote = RemoteFile(server.address("file.bin"), "file.bin", checksum)
        return fetch(remote, tmp_path / "new", **{"progress": False, "pause": 0.0, **options})

    return bring


def left_in(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_first_download_records_its_hash_and_says_so(bring, server, capsys):
    path = bring()
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == {"file.bin", "file.bin.sha256"}
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (path.parent / "file.bin.sha256").read_text() == f"{digest}  file.bin\n"
    assert "no checksum is published" in (said := capsys.readouterr().out)
    assert digest in said
    assert bring() == path
    assert len(server.ranges) == 1, "what is there is not fetched again"
    assert "agrees with the hash of the first download" in capsys.readouterr().out


def test_broken_connections_are_resumed(bring, server):
    server.cut = [1000, 5000, 1]
    assert bring().read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=6000-", "bytes=6001-"]


def test_a_truncated_file_is_not_taken_for_whole_and_the_next_run_goes_on(bring, server, tmp_path):
    server.cut = [1000, 5000]
    with pytest.raises(DownloadError, match=r"broke off at 6000 of 128000 bytes.*6000 bytes are kept, run again"):
        bring(attempts=2)
    assert left_in(tmp_path / "new") == {"file.bin.part", "file.bin.tag"}
    assert bring().read_bytes() == CONTENT
    assert server.ranges[2:] == ["bytes=6000-"]
    assert left_in(tmp_path / "new") == {"file.bin", "file.bin.sha256"}


def test_a_file_that_changed_meanwhile_is_fetched_anew(bring, server):
    server.cut = [1000]
    with pytest.raises(DownloadError):
        bring(attempts=1)
    server.files["/file.bin"] = new = CONTENT[::-1]
    assert bring().read_bytes() == new


def test_a_server_without_ranges_starts_again(bring, server):
    server.knows_ranges = False
    server.cut = [1000]
    assert bring().read_bytes() == CONTENT


@pytest.mark.parametrize("rest", [b"", b"more than there is"])
def test_a_beginning_that_is_all_or_too_much(bring, tmp_path, rest):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.bin.part").write_bytes(CONTENT + rest)
    assert bring().read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_checksum(bring, server, tmp_path, algorithm, capsys):
    digest = hashlib.new(algorithm, CONTENT).hexdigest()
    server.files["/file.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(DownloadError, match=f"file.bin has {algorithm} .* not {digest[:8]}, the known.*deleted"):
        bring(f"{algorithm}:{digest[:8]}")
    assert left_in(tmp_path / "new") == set()
    server.files["/file.bin"] = CONTENT
    bring(f"{algorithm}:{digest}")
    assert f"{algorithm} agrees with the known checksum" in capsys.readouterr().out


def test_a_second_download_is_compared_with_the_first(bring, server):
    path = bring()
    path.unlink()
    server.files["/file.bin"] = b"something else"
    with pytest.raises(DownloadError, match=r"file\.bin has sha256 .* first download \(delete .*file\.bin\.sha256"):
        bring()
    assert not path.exists()


def test_a_file_that_was_changed_here_is_noticed(bring):
    path = bring()
    path.write_bytes(b"changed")
    with pytest.raises(DownloadError, match=r"delete .*file\.bin to fetch it again"):
        bring()


def test_refusals_of_the_server(bring, server):
    server.status = [404]
    with pytest.raises(DownloadError, match=r"could not be fetched .*404"):
        bring()
    assert len(server.ranges) == 1, "no sense in asking again"
    server.status = [503, 500]
    assert bring().read_bytes() == CONTENT


def test_nobody_there(tmp_path):
    remote = RemoteFile("http://127.0.0.1:9/file.bin", "file.bin")
    with pytest.raises(DownloadError, match="could not be fetched"):
        fetch(remote, tmp_path, progress=False, attempts=2, pause=0.0)


def test_a_web_page_is_not_the_file(bring, server, tmp_path):
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match=r"answers with a web page; open it in a browser and save file\.bin"):
        bring()
    assert not (tmp_path / "new" / "file.bin").exists()


def test_no_room(bring, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DownloadError, match="no room"):
        bring()


def tar_of(path, *members: tuple[str, bytes | str | None], mode: str = "w:gz"):
    """A tar file; bytes make a file, None a folder, text a link with that target (``hard:`` before a hard one)."""
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.mode = 0o777
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type = tarfile.LNKTYPE if content.startswith("hard:") else tarfile.SYMTYPE
                member.linkname = content.removeprefix("hard:")
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def zip_of(path, *members: tuple[str, bytes]):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def files_in(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


GOOD = (("data/", None), ("data/a.txt", b"a"), ("data/b/c.txt", b"c"))


def test_archives_are_unpacked_beside_what_is_there(tmp_path):
    (tmp_path / "out" / "data").mkdir(parents=True)
    (tmp_path / "out" / "data" / "own.txt").write_bytes(b"own")
    unpack(tar_of(tmp_path / "good.tgz", *GOOD), tmp_path / "out", progress=False)
    unpack(zip_of(tmp_path / "good.zip", ("data/a.txt", b"new"), ("data/d/", b"")), tmp_path / "out", progress=False)
    assert files_in(tmp_path / "out") == {"data/own.txt": b"own", "data/a.txt": b"new", "data/b/c.txt": b"c"}
    assert (tmp_path / "out" / "data" / "d").is_dir()
    assert not stat.S_IMODE((tmp_path / "out" / "data" / "b" / "c.txt").stat().st_mode) & 0o111, "modes are not taken"


@pytest.mark.parametrize("name", ["../escaped", "data/../../escaped", "ROOT/escaped", "..\\escaped", ".."])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_no_member_leaves_the_folder(tmp_path, name, kind):
    name = name.replace("ROOT", tmp_path.as_posix())  # an absolute path
    make = tar_of if kind == "tar" else zip_of
    archive = make(
        tmp_path / f"bad.{kind}", ("data/a.txt", b"a"), (name, b"escaped"), **({"mode": "w"} if kind == "tar" else {})
    )
    before = files_in(tmp_path)
    with pytest.raises(DownloadError, match=rf"bad\.{kind} was not unpacked: its member .* leads out of the folder"):
        unpack(archive, tmp_path / "in" / "out", progress=False)
    assert files_in(tmp_path) == before, "nothing was written, not even the good member"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../outside.txt", "hard:../outside.txt", "hard:/etc/passwd", ".."]
)
def test_links_out_of_the_archive_are_refused(tmp_path, target):
    (tmp_path / "outside.txt").write_bytes(b"secret")
    archive = tar_of(tmp_path / "bad.tgz", ("data/a.txt", b"a"), ("data/link", target), ("data/link/b.txt", b"b"))
    with pytest.raises(DownloadError, match=r"'data/link' is a link to .*not in the archive"):
        unpack(archive, tmp_path / "in" / "out", progress=False)
    assert files_in(tmp_path / "in") == {}
    assert (tmp_path / "outside.txt").read_bytes() == b"secret"


def test_links_inside_become_copies(tmp_path):
    archive = tar_of(tmp_path / "linked.tgz", *GOOD, ("data/b/soft", "../a.txt"), ("data/hard", "hard:data/b/c.txt"))
    unpack(archive, tmp_path / "out", progress=False)
    assert files_in(tmp_path / "out")["data/b/soft"] == b"a"
    assert files_in(tmp_path / "out")["data/hard"] == b"c"
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_devices_are_refused(tmp_path):
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("data/pipe")
        member.type = tarfile.FIFOTYPE
        archive.addfile(member)
    with pytest.raises(DownloadError, match="'data/pipe' is a device"):
        unpack(tmp_path / "bad.tar", tmp_path / "out", progress=False)


@pytest.mark.parametrize("kind", ["tgz", "tar", "zip"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_damaged_archive_leaves_nothing(tmp_path, kind, share):
    path = tmp_path / f"bad.{kind}"
    members = [("data/a.bin", hashlib.sha256(b"noise").digest() * 3000), ("data/b.bin", CONTENT)]
    archive = zip_of(path, *members) if kind == "zip" else tar_of(path, *members, mode="w:gz" if kind == "tgz" else "w")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DownloadError, match=rf"bad\.{kind} cannot be unpacked .*delete it and run again"):
        unpack(archive, tmp_path / "out", progress=False)
    assert left_in(tmp_path / "out") == set()


@pytest.fixture
def items(server, tmp_path):
    """Items as the real ones: an archive, weights with the old name of PyTorch's, and one to fetch by hand."""
    server.files["/good.tgz"] = tar_of(tmp_path / "good.tgz", *GOOD).read_bytes()
    server.files["/net.pth.tar"] = b"weights"
    return {
        "set": Item("a data set", "1 MB", (RemoteFile(server.address("good.tgz"), "good.tgz"),), "sets/one"),
        "net": Item("weights", "1 MB", (RemoteFile(server.address("net.pth.tar"), "net.pth.tar"),), "weights"),
        "drive": Item("somewhere else", by_hand="open the page and put the file into drive", gives=("drive/own.bin",)),
    }


def test_download_unpacks_once(items, server, tmp_path, capsys):
    root = tmp_path / "root"
    for _ in range(2):
        download("set", root, items=items, progress=False)
        download("net", root, items=items, progress=False)
    assert len(server.ranges) == 2
    assert "unpacked before" in capsys.readouterr().out
    files = files_in(root)
    assert files["sets/one/data/b/c.txt"] == b"c"
    assert files["weights/net.pth.tar"] == b"weights"
    assert "sets/one/good.tgz" in files


def test_archives_can_be_removed(items, tmp_path):
    download("set", tmp_path / "root", items=items, keep_archives=False, progress=False)
    assert set(files_in(tmp_path / "root" / "sets" / "one")) == {
        "data/a.txt", "data/b/c.txt", "good.tgz.sha256", ".good.tgz.done"
    }  # fmt: skip


def test_a_killed_unpacking_is_done_again(items, tmp_path, monkeypatch):
    root = tmp_path / "root"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_merge", killed)
        with pytest.raises(KeyboardInterrupt):
            download("set", root, items=items, progress=False)
    download("set", root, items=items, progress=False)
    assert files_in(root)["sets/one/data/a.txt"] == b"a"


def test_a_damaged_first_file_does_not_fix_its_hash(items, server, tmp_path):
    root, good = tmp_path / "root", server.files["/good.tgz"]
    server.files["/good.tgz"] = good[: len(good) // 2]
    with pytest.raises(DownloadError, match=r"cannot be unpacked .*delete it and run again"):
        download("set", root, items=items, progress=False)
    assert set(files_in(root)) == {"sets/one/good.tgz"}
    server.files["/good.tgz"] = good
    (root / "sets" / "one" / "good.tgz").unlink()
    download("set", root, items=items, progress=False)
    assert files_in(root)["sets/one/data/a.txt"] == b"a"
    (root / "sets" / "one" / ".good.tgz.done").unlink()
    (root / "sets" / "one" / "good.tgz").write_bytes(b"other")
    with pytest.raises(DownloadError, match="the hash of the first download"):
        download("set", root, items=items, progress=False)


def test_unknown_names_and_what_is_fetched_by_hand(items, tmp_path):
    with pytest.raises(DownloadError, match="nothing is called 'sett'; choose from set, net, drive"):
        download("sett", tmp_path, items=items)
    with pytest.raises(DownloadError, match=f"open the page and put the file into drive below {tmp_path}"):
        download("drive", tmp_path, items=items)


def test_command_line(items, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "ITEMS", items)
    monkeypatch.setattr(module, "download", partial(download, items=items, progress=False))
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in items)
    assert "somewhere else, as drive/own.bin; by hand: open the page" in listed
    assert "weights, as weights/net.pth.tar\n" in listed

    monkeypatch.delenv("WSSS_DATA", raising=False)
    assert main(["set"]) == 2
    assert "WSSS_DATA" in capsys.readouterr().err
    assert main(["set", "--out", str(tmp_path / "a"), "--remove-archives"]) == 0
    assert "sets/one/data/a.txt" in files_in(tmp_path / "a")
    monkeypatch.setenv("WSSS_CALLED_FROM", str(tmp_path))
    assert main(["net", "--out", "called"]) == 0
    assert files_in(tmp_path / "called")["weights/net.pth.tar"] == b"weights"
    monkeypatch.setenv("WSSS_DATA", str(tmp_path / "b"))
    assert main(["net", "drive"]) == 1
    assert files_in(tmp_path / "b")["weights/net.pth.tar"] == b"weights"
    assert "drive: this cannot be fetched by a program" in capsys.readouterr().err


def test_the_list_names_what_is_needed():
    wanted = "voc2007 voc2012 sbd coco2014 coco2017 visual_genome waterbirds cub glove resnet38 resnet101"
    assert set(wanted.split()) <= set(ITEMS)
    files = [remote for item in ITEMS.values() for remote in item.files]
    assert len({remote.url for remote in files}) == len(files)
    for name, item in ITEMS.items():
        assert bool(item.files) != bool(item.by_hand), name
        assert all(place.rpartition("/")[2] in item.by_hand for place in item.gives if item.by_hand), name
        for remote in item.files:
            assert "/" not in remote.name and "?" not in remote.name
            assert remote.checksum == "" or remote.checksum.split(":")[0] in ("md5", "sha256")


def test_checksums_are_those_of_torchvision():
    from torchvision.datasets import sbd, voc
    from torchvision.models import ResNet101_Weights

    known = {entry["url"]: entry["md5"] for entry in voc.DATASET_YEAR_DICT.values()}
    known[sbd.SBDataset.url] = sbd.SBDataset.md5
    for name in ("voc2007", "voc2012", "sbd"):
        for remote in ITEMS[name].files:
            assert remote.checksum == f"md5:{known[remote.url]}"
    (weights,) = ITEMS["resnet101"].files
    assert weights.url == ResNet101_Weights.IMAGENET1K_V2.url
    assert weights.checksum == f"sha256:{weights.name.split('-')[1].removesuffix('.pth')}"
