"""Catalog sources of the verification's own, whose content it may change: never files of the project."""

import json
import os
from pathlib import Path

import yaml

SOURCES = 6
MODELS = 5


class LocalSources:
    """A folder with a sources file and a catalog file for each source."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "sources.yaml"

    def make(self) -> None:
        """Writes what is missing; content that a run has changed stays."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)
        for source in self.ids():
            if not self._path(source).exists():
                self.write(source, initial_catalog(source))
        entries = [
            {
                "name": f"Verification {source}",
                "id": source,
                "type": "yaml",
                "enabled": True,
                "properties": {"yamlCatalogPath": self._path(source).name},
            }
            for source in self.ids()
        ]
        _replace(self.file, yaml.safe_dump({"catalogs": entries}, sort_keys=False))

    def ids(self) -> list[str]:
        return source_ids(SOURCES)

    def write(self, source: str, content: str) -> None:
        """At once, never in parts. Raises `KeyError` for an unknown source."""
        if source not in self.ids():
            raise KeyError(f"source = {source!r}: not a source of this target. Use one of: {', '.join(self.ids())}")
        _replace(self._path(source), content)

    def remove(self) -> None:
        for path in [self.file, *(self._path(source) for source in self.ids())]:
            path.unlink(missing_ok=True)
        if self._folder.is_dir():
            self._folder.rmdir()

    def _path(self, source: str) -> Path:
        return self._folder / f"{source}.yaml"


def source_ids(count: int) -> list[str]:
    return [f"verify-{number}" for number in range(1, count + 1)]


def initial_catalog(source: str) -> str:
    """A catalog file (JSON is YAML) with a few models."""
    models = [{"name": f"{source}/model-{number:03}", "provider": source} for number in range(MODELS)]
    return json.dumps({"source": source, "models": models}, indent=1)


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
