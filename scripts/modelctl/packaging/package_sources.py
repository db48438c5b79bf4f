"""Where Python packages come from, according to the user's pip settings, which uv does not read and must be given.

The setup also imports this, under any Python, so it imports only the standard library.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# https://pip.pypa.io/en/stable/topics/configuration/: later ones win.
_SECTIONS = ("global", "install", ":env:")
_SOURCES = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert", "proxy"),
    *("timeout", "default-timeout"),
)
# Not `pip config list`: with `user = true`, it shows only one file. From pip 25.1 on, there is one map per file.
_LIST = """
import json
from pip._internal.configuration import Configuration
found = Configuration(isolated=False)
found.load()
maps = [value if isinstance(value, dict) else {key: value} for key, value in found.items()]
print(json.dumps([pair for entries in maps for pair in entries.items()]))
"""
# Earlier names of uv's variables, which the user may have set.
_EARLIER = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}


def pip_settings(python: Path) -> dict[str, str]:
    """The user's pip settings for where packages come from, by the names of pip's configuration.

    Args:
        python: an interpreter that has pip; without it there are no settings.
    """
    listed = subprocess.run(
        [python, "-c", _LIST], capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"}, check=False
    )
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for name, value in json.loads(listed.stdout or "[]"):
        section, _, key = name.rpartition(".")
        if section in found and key in _SOURCES:
            found[section][key] = value.strip()
    return {key: value for section in _SECTIONS for key, value in found[section].items() if value}


def pip_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment for a pip that uses only these settings: not `user = true`, for example, nor `target`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {
        **kept,
        **{f"PIP_{key.upper().replace('-', '_')}": value for key, value in settings.items()},
        "PIP_CONFIG_FILE": os.devnull,
    }


def uv_environment(settings: Mapping[str, str], cache: Path) -> dict[str, str]:
    """The environment for a uv that gets packages from where pip would. uv's own settings take precedence.

    Args:
        settings: pip's settings.
        cache: the folder for uv's cache if the user has no writable one.
    """
    # Like pip, uv skips a missing index of files, but it refuses a missing folder.
    folders = [place for place in settings.get("find-links", "").split() if "://" in place or Path(place).exists()]
    timeout = settings.get("timeout", settings.get("default-timeout", ""))
    wanted = {
        "UV_DEFAULT_INDEX": settings.get("index-url", ""),
        "UV_INDEX": " ".join(settings.get("extra-index-url", "").split()),
        # Like pip, take a version from any index that has it; every file is identified by its hash.
        "UV_INDEX_STRATEGY": "unsafe-best-match" if "extra-index-url" in settings else "",
        "UV_FIND_LINKS": ",".join(folders),
        "UV_NO_INDEX": "1" if settings.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
        "UV_INSECURE_HOST": " ".join(settings.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": timeout.partition(".")[0],
        "SSL_CERT_FILE": settings.get("cert", ""),
        "SSL_CLIENT_CERT": settings.get("client-cert", ""),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), settings.get("proxy", "")),
        "UV_CACHE_DIR": "" if _has_cache() else str(cache),
    }
    users = {name for name in wanted if os.environ.get(name) or os.environ.get(_EARLIER.get(name, ""))}
    return {**os.environ, **{name: value for name, value in wanted.items() if value and name not in users}}


def _has_cache() -> bool:
    """Whether the user has a writable place for caches; a user without a home directory has none."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - it may stay a "~"
    existing = next(folder for folder in (place, *place.parents) if os.access(folder, os.F_OK))
    return place.is_absolute() and os.access(existing, os.W_OK)
