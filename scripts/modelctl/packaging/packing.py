"""Compiles the modules of a folder and zips it, as a program that the Python of a package's target runs.

    python -S -P packing.py FOLDER UNPACKED_AT LEVEL FILE

Every byte of FILE follows from the files of FOLDER, from UNPACKED_AT (the folder in which Lambda unpacks it, for
tracebacks), from LEVEL (how hard zlib tries, from 1 to 9) and from that Python: its compiler and its zlib. Needs
nothing but the standard library.
"""

import compileall
import stat
import sys
import zipfile
from pathlib import Path
from py_compile import PycInvalidationMode


def main(folder: Path, unpacked_at: str, level: int, file: Path) -> int:
    """Write the file; returns the exit status."""
    compiled = compileall.compile_dir(
        folder,
        quiet=1,
        # A .pyc file that is there already, from a wheel or from uv, may hold the time of its source.
        force=True,
        stripdir=folder,
        prependdir=unpacked_at,
        # Python then trusts them without a look at the time of their source, which unzipping changes.
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        return 1
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for path in entries(folder):
            entry = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, which gives the permissions their meaning
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (folder / path).read_bytes(), compresslevel=level)
    return 0


def entries(folder: Path) -> list[str]:
    """Return the paths of all files of a folder, relative to it and sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
