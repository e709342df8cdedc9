"""The artefacts in the form in which packages carry them: tar archives whose paths are those of the guest."""

import os
import tarfile
from pathlib import Path, PurePosixPath

from .work import SOURCE_DATE_EPOCH


def archive(content: dict, mounted_at: str, target: Path) -> None:
    """The files and folders of `content` (path below `mounted_at` -> file), depending on nothing but names and bytes."""
    mount = PurePosixPath(mounted_at.lstrip("/"))
    entries = {folder: None for folder in reversed(mount.parents) if folder.name} | {mount: None}
    entries |= {mount / path: file for path, file in sorted(content.items(), key=lambda item: PurePosixPath(item[0]).parts)}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for path, file in entries.items():
            member = tarfile.TarInfo(path.as_posix())
            member.mtime = SOURCE_DATE_EPOCH
            if file is None or file.is_dir():
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                member.mode, member.size = 0o644, file.stat().st_size
                with file.open("rb") as bytes_of_file:
                    tar.addfile(member, bytes_of_file)
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    # Python pads to whole records of a tape; readers of packages take nothing after the end mark.
    os.truncate(target, end)


def tree(folder: Path) -> dict:
    """All that lies below a folder, for `archive`."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
