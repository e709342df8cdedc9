"""In the place of a build system while pip downloads a source release.

pip wants the release's metadata and asks the build system for it, which would configure the whole package for the build
machine, or refuses to run on that machine's Python. They lie in the release itself.
"""

import shutil
from email.parser import HeaderParser
from pathlib import Path


def prepare_metadata_for_build_wheel(directory: str, config_settings: dict | None = None) -> str:
    told = HeaderParser().parsestr(Path("PKG-INFO").read_text())
    folder = Path(directory) / f"{told['Name'].replace('-', '_')}-{told['Version']}.dist-info"
    folder.mkdir()
    shutil.copyfile("PKG-INFO", folder / "METADATA")
    return folder.name
