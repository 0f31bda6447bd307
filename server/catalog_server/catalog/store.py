"""Writes to the catalog's tables, and what refreshing a source needs to know of it.

Every function works on the session, and so in the transaction, of its caller; those that change more than one
row need one.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import peewee

from catalog_server.catalog.catalog_file import CatalogArtifact, CatalogModel
from catalog_server.catalog.reader import Validators
from catalog_server.catalog.sources_file import Label, Source, SourcesFile
from catalog_server.db import Session
from catalog_server.db import models as tables

AVAILABLE, PARTIAL, ERROR, DISABLED = "available", "partially-available", "error", "disabled"
REMOVED = "removed"  # gone from the sources file, and listed no more; waits to be purged

NOT_READ_YET = "not read yet"
ERROR_RETRY_SECONDS = 30.0  # a source in error is read again after this, or its interval if that is shorter
PURGE_BATCH_ROWS = 2000  # bounds the time of a round of purging
_INSERT_ROWS = 200


@dataclass(frozen=True)
class Outcome:
    """What a refresh found out about a source: the revision names the content that is stored."""

    status: str
    error: str | None
    revision: str | None
    validators: Validators


@dataclass(frozen=True)
class SourceState:
    """A source as it is stored: its configuration, and how its last refresh ended."""

    source: Source
    last: Outcome


def reconcile(session: Session, file: SourcesFile) -> list[str]:
    """Makes the stored sources and labels those of the file; returns the enabled sources that changed.

    A source that is gone is served no more at once; `purge_removed` deletes its models later, so that one
    that comes back before then, after a slip in the file, has its models with the same ids.
    """
    stored = {state.source.id: (position, state) for position, state in _all_sources(session)}
    changed = []
    for position, source in enumerate(file.sources):
        known_position, known = stored.pop(source.id, (None, None))
        if known is None or known.source != source or known.last.status == REMOVED:
            _upsert(session, source, position)
            if source.enabled:
                changed.append(source.id)
        elif known_position != position:
            _set(session, source.id, position=position)
    for source_id, (_, state) in stored.items():
        if state.last.status != REMOVED:
            _set(session, source_id, status=REMOVED, error=None, enabled=False)
    _replace_labels(session, file.labels)
    return changed


def purge_removed(session: Session) -> int:
    """Deletes models of removed sources, a batch per call, then the sources; returns how many models."""
    removed = tables.Source.select(tables.Source.id).where(tables.Source.status == REMOVED)
    batch = (
        tables.Model.select(tables.Model.id)
        .where(tables.Model.source_id.in_(removed))
        .order_by(tables.Model.id)
        .limit(PURGE_BATCH_ROWS)
    )
    deleted: int = tables.Model.delete().where(tables.Model.id.in_(batch)).execute(session.peewee)
    if deleted < PURGE_BATCH_ROWS:
        tables.Source.delete().where(tables.Source.status == REMOVED).execute(session.peewee)
    return deleted


def due_sources(session: Session) -> list[str]:
    """Enabled sources whose interval has passed, or that were not read since they changed."""
    seconds = """CASE WHEN status = 'error' AND refresh_interval_seconds > %(retry)s THEN %(retry)s
                 ELSE refresh_interval_seconds END"""
    if session.dialect.name == "postgresql":
        due = f"refreshed_at <= clock_timestamp() - make_interval(secs => {seconds})"
    else:
        due = f"julianday(refreshed_at) <= julianday('now') - ({seconds}) / 86400.0"
    rows = session.rows(
        f"""SELECT id FROM catalog_sources WHERE enabled AND (refreshed_at IS NULL OR {due}) ORDER BY id""",
        retry=ERROR_RETRY_SECONDS,
    )
    return [row.id for row in rows]


def has_unread_sources(session: Session) -> bool:
    """Whether an enabled source was not read, well or badly, since it was added or changed."""
    return bool(session.scalar("SELECT count(*) FROM catalog_sources WHERE enabled AND refreshed_at IS NULL"))


def source_state(session: Session, source_id: str, *, lock: bool = False) -> SourceState | None:
    """The source, unless it is disabled or gone; with `lock`, as it stays until the transaction ends."""
    query = tables.Source.select().where(tables.Source.id == source_id, tables.Source.enabled)
    if lock and session.dialect.name == "postgresql":  # SQLite's transactions exclude each other
        query = query.for_update()
    for row in query.dicts().execute(session.peewee):
        return _state(row)
    return None


def record(session: Session, source_id: str, outcome: Outcome) -> None:
    """Notes how a refresh ended, at the database's time; the next one is due an interval later."""
    session.execute(
        f"""UPDATE catalog_sources SET status = %(status)s, error = %(error)s, revision = %(revision)s,
              etag = %(etag)s, last_modified = %(last_modified)s, refreshed_at = {session.dialect.now}
            WHERE id = %(id)s""",
        id=source_id,
        status=outcome.status,
        error=outcome.error,
        revision=outcome.revision,
        etag=outcome.validators.etag,
        last_modified=outcome.validators.last_modified,
    )


def replace_models(session: Session, source_id: str, models: Sequence[CatalogModel]) -> int:
    """Makes the models of a source exactly these; returns how many were written or deleted.

    The caller holds the lock of the source (`source_state`). Models that stay keep id and creation time, and
    those that say the same their update time, unless the catalog itself states these.
    """
    now_ms = _now_ms(session)
    stored = _stored_models(session, source_id)
    stored_artifacts = _stored_artifacts(session, source_id)
    gone = [row["id"] for name, row in stored.items() if name not in {model.name for model in models}]
    for ids in _chunks(gone):
        tables.Model.delete().where(tables.Model.id.in_(ids)).execute(session.peewee)
    rows, with_new_artifacts = [], []
    for model in models:
        known = stored.get(model.name)
        same_artifacts = known is not None and _same_artifacts(stored_artifacts[known["id"]], model.artifacts)
        row = _model_row(source_id, model, known, same_artifacts, now_ms)
        if known is None or any(row[column] != known[column] for column in row):
            rows.append(row)
        if not same_artifacts:
            with_new_artifacts.append(model)
    _upsert_models(session, rows)
    _replace_artifacts(session, source_id, with_new_artifacts, stored_artifacts, now_ms)
    return len(gone) + len(rows)


def counts(session: Session) -> dict[str, int]:
    """How many sources are listed and how many models are served."""
    (row,) = session.rows(
        f"""SELECT (SELECT count(*) FROM catalog_sources WHERE status <> '{REMOVED}') AS sources,
                   (SELECT count(*) FROM catalog_models m JOIN catalog_sources s ON s.id = m.source_id
                    WHERE s.enabled) AS models"""
    )
    return {"sources": row.sources, "models": row.models}


def models_by_source(session: Session) -> dict[str, int]:
    """How many models each source has, served or not."""
    rows = session.rows("SELECT source_id, count(*) AS number FROM catalog_models GROUP BY source_id")
    return {row.source_id: row.number for row in rows}


def _all_sources(session: Session) -> list[tuple[int, SourceState]]:
    rows = tables.Source.select().dicts().execute(session.peewee)
    return [(row["position"], _state(row)) for row in rows]


def _state(row: Mapping[str, Any]) -> SourceState:
    source = Source(
        id=row["id"],
        name=row["name"],
        type=row["type"],
        asset_type=row["asset_type"],
        enabled=row["enabled"],
        labels=tuple(row["labels"]),
        included_models=tuple(row["included_models"]),
        excluded_models=tuple(row["excluded_models"]),
        properties=row["properties"],
        refresh_interval_seconds=row["refresh_interval_seconds"],
    )
    validators = Validators(row["etag"], row["last_modified"])
    return SourceState(source, Outcome(row["status"], row["error"], row["revision"], validators))


def _upsert(session: Session, source: Source, position: int) -> None:
    """Writes the configuration. `refreshed_at` is emptied, so the source is due until it was read anew."""
    row = {
        "position": position,
        "name": source.name,
        "type": source.type,
        "asset_type": source.asset_type,
        "enabled": source.enabled,
        "labels": list(source.labels),
        "included_models": list(source.included_models),
        "excluded_models": list(source.excluded_models),
        "properties": dict(source.properties),
        "status": ERROR if source.enabled else DISABLED,
        "error": NOT_READ_YET if source.enabled else None,
        "etag": None,
        "last_modified": None,
        "refresh_interval_seconds": source.refresh_interval_seconds,
        "refreshed_at": None,
    }
    insert = tables.Source.insert(id=source.id, **row)
    insert.on_conflict(conflict_target=[tables.Source.id], update=row).execute(session.peewee)


def _set(session: Session, source_id: str, **values: Any) -> None:
    tables.Source.update(**values).where(tables.Source.id == source_id).execute(session.peewee)


def _replace_labels(session: Session, labels: Sequence[Label]) -> None:
    wanted = [
        {"position": position, "asset_type": label.asset_type, "name": label.name, "document": label.document}
        for position, label in enumerate(labels)
    ]
    stored = list(tables.Label.select().order_by(tables.Label.position).dicts().execute(session.peewee))
    if stored != wanted:
        tables.Label.delete().execute(session.peewee)
        if wanted:
            tables.Label.insert_many(wanted).execute(session.peewee)


def _stored_models(session: Session, source_id: str) -> dict[str, dict[str, Any]]:
    rows = tables.Model.select().where(tables.Model.source_id == source_id).dicts().execute(session.peewee)
    return {row["name"]: row for row in rows}


def _stored_artifacts(session: Session, source_id: str) -> dict[int, list[dict[str, Any]]]:
    ids = tables.Model.select(tables.Model.id).where(tables.Model.source_id == source_id)
    query = tables.Artifact.select().where(tables.Artifact.model_id.in_(ids)).order_by(tables.Artifact.id)
    by_model: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in query.dicts().execute(session.peewee):
        by_model[row["model_id"]].append(row)
    return by_model


def _model_row(
    source_id: str, model: CatalogModel, known: Mapping[str, Any] | None, same_artifacts: bool, now_ms: int
) -> dict[str, Any]:
    created_ms = model.created_ms or (known["created_ms"] if known else now_ms)
    is_unchanged = known is not None and same_artifacts and known["document"] == model.document
    kept_ms = known["updated_ms"] if known is not None and is_unchanged else now_ms
    return {
        "source_id": source_id,
        "name": model.name,
        "search_text": model.search_text,
        "accuracy": model.accuracy,
        "document": model.document,
        "created_ms": created_ms,
        "updated_ms": model.updated_ms or kept_ms,
    }


def _upsert_models(session: Session, rows: list[dict[str, Any]]) -> None:
    replaced = ("search_text", "accuracy", "document", "created_ms", "updated_ms")
    update = {column: getattr(peewee.EXCLUDED, column) for column in replaced}
    for chunk in _chunks(rows):
        insert = tables.Model.insert_many(chunk)
        target = [tables.Model.source_id, tables.Model.name]
        insert.on_conflict(conflict_target=target, update=update).execute(session.peewee)


def _same_artifacts(stored: list[dict[str, Any]], artifacts: Sequence[CatalogArtifact]) -> bool:
    return len(stored) == len(artifacts) and all(
        row["document"] == artifact.document
        and artifact.created_ms in (None, row["created_ms"])
        and artifact.updated_ms in (None, row["updated_ms"])
        for row, artifact in zip(stored, artifacts, strict=True)
    )


def _replace_artifacts(
    session: Session,
    source_id: str,
    models: Sequence[CatalogModel],
    stored: Mapping[int, list[dict[str, Any]]],
    now_ms: int,
) -> None:
    """Writes the artifacts of these models anew, in their order; one that says the same keeps its times."""
    if not models:
        return
    ids = {name: row["id"] for name, row in _stored_models(session, source_id).items()}
    stale, rows = [], []
    for model in models:
        model_id = ids[model.name]
        before = stored.get(model_id, [])
        stale += [row["id"] for row in before]
        times = {json.dumps(row["document"], sort_keys=True): row for row in before}
        for artifact in model.artifacts:
            known = times.get(json.dumps(artifact.document, sort_keys=True))
            rows.append(
                {
                    "model_id": model_id,
                    "document": artifact.document,
                    "created_ms": artifact.created_ms or (known["created_ms"] if known else now_ms),
                    "updated_ms": artifact.updated_ms or (known["updated_ms"] if known else now_ms),
                }
            )
    for chunk in _chunks(stale):
        tables.Artifact.delete().where(tables.Artifact.id.in_(chunk)).execute(session.peewee)
    for chunk in _chunks(rows):
        tables.Artifact.insert_many(chunk).execute(session.peewee)


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _INSERT_ROWS):
        yield items[start : start + _INSERT_ROWS]


def _now_ms(session: Session) -> int:
    now = session.dialect.to_datetime(session.scalar(f"SELECT {session.dialect.now} AS now"))
    assert now is not None
    return int(now.timestamp() * 1000)
