"""Reads of the catalog as it is served: what is visible, filtered, in a total order, a page at a time.

Invariant: every order ends with the id, so it is total, and a page continues strictly after the position
where the one before ended: pages of one query never overlap.

Documents are selected as text, so that they reach the client without being decoded and encoded again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import peewee
from peewee import fn

from catalog_server.catalog.store import REMOVED
from catalog_server.db import Session
from catalog_server.db.models import Artifact, Label, Model, Source

Row = Any  # a named tuple; `sort_key` and `id` are the position of its item in the list
NO_LABEL = "null"  # as a value of sourceLabel: sources without a label


@dataclass(frozen=True)
class Listing:
    """An order, and the part of it that is wanted: up to `limit` rows after `position` (sort key, id)."""

    order_by: str
    descending: bool
    limit: int
    position: tuple[Any, ...] | None = None


def models(
    session: Session, listing: Listing, *, sources: Sequence[str], labels: Sequence[str], text: str
) -> list[Row]:
    """Rows (id, source_id, document, created_ms, updated_ms, sort_key) of the models served.

    Of the given sources, of sources with any of the labels, with the text in any of the searched fields; an
    empty filter lets everything pass. Orders: ID, NAME, CREATE_TIME, LAST_UPDATE_TIME, ACCURACY.
    """
    key = _model_key(session, listing)
    query = (
        Model.select(
            Model.id,
            Model.source_id,
            Model.document.cast("text").alias("document"),
            Model.created_ms,
            Model.updated_ms,
            key.alias("sort_key"),
        )
        .join(Source, on=(Source.id == Model.source_id))
        .where(Source.enabled)
    )
    if sources:
        query = query.where(Model.source_id.in_(list(sources)))
    if labels:
        query = query.where(_has_any_label(session, labels))
    if text:
        query = query.where(_position_of(session, Model.search_text, text.casefold()) > 0)
    return _page(session, query, key, Model.id, listing)


def model(session: Session, source_id: str, name: str) -> Row | None:
    """The row (as of `models`, but for sort_key) of one model, or None if it is not served."""
    query = (
        Model.select(
            Model.id,
            Model.source_id,
            Model.document.cast("text").alias("document"),
            Model.created_ms,
            Model.updated_ms,
        )
        .join(Source, on=(Source.id == Model.source_id))
        .where(Source.enabled, Model.source_id == source_id, Model.name == name)
    )
    return next(iter(query.namedtuples().execute(session.peewee)), None)


def artifacts(session: Session, listing: Listing, *, model_id: int) -> list[Row]:
    """Rows (id, document, created_ms, updated_ms, sort_key). Orders: ID, CREATE_TIME, LAST_UPDATE_TIME."""
    keys = {"ID": Artifact.id, "CREATE_TIME": Artifact.created_ms, "LAST_UPDATE_TIME": Artifact.updated_ms}
    key = keys[listing.order_by]
    query = Artifact.select(
        Artifact.id,
        Artifact.document.cast("text").alias("document"),
        Artifact.created_ms,
        Artifact.updated_ms,
        key.alias("sort_key"),
    ).where(Artifact.model_id == model_id)
    return _page(session, query, key, Artifact.id, listing)


def sources(session: Session, listing: Listing, *, asset_type: str | None, name: str) -> list[Row]:
    """Rows (columns of the source, sort_key) whose name contains the given one in any letter case.

    Orders: ID, NAME.
    """
    key = _binary(session, {"ID": Source.id, "NAME": Source.name}[listing.order_by])
    query = Source.select(
        Source.id,
        Source.name,
        Source.enabled,
        Source.labels,
        Source.status,
        Source.error,
        Source.included_models,
        Source.excluded_models,
        Source.asset_type,
        key.alias("sort_key"),
    ).where(Source.status != REMOVED)
    if asset_type:
        query = query.where(Source.asset_type == asset_type)
    if name:
        query = query.where(_position_of(session, fn.lower(Source.name), fn.lower(name)) > 0)
    return _page(session, query, key, _binary(session, Source.id), listing)


def labels(session: Session, listing: Listing, *, asset_type: str) -> list[Row]:
    """Rows (id, document, sort_key) in the order of the sources file."""
    key = Label.position
    query = Label.select(key.alias("id"), Label.document.cast("text").alias("document"), key.alias("sort_key")).where(
        Label.asset_type == asset_type
    )
    return _page(session, query, key, key, listing)


def _page(session: Session, query: Any, key: Any, tie_break: Any, listing: Listing) -> list[Row]:
    if listing.position is not None:
        here, there = peewee.Tuple(key, tie_break), peewee.Tuple(*listing.position)
        query = query.where(here < there if listing.descending else here > there)
    order = (key.desc(), tie_break.desc()) if listing.descending else (key, tie_break)
    return list(query.order_by(*order).limit(listing.limit).namedtuples().execute(session.peewee))


def _model_key(session: Session, listing: Listing) -> Any:
    if listing.order_by == "NAME":
        return _binary(session, Model.name)
    if listing.order_by == "ACCURACY":
        # Models without the figure come last in either direction.
        return fn.COALESCE(Model.accuracy, -math.inf if listing.descending else math.inf)
    keys = {"ID": Model.id, "CREATE_TIME": Model.created_ms, "LAST_UPDATE_TIME": Model.updated_ms}
    return keys[listing.order_by]


def _binary(session: Session, column: Any) -> Any:
    """Text ordered by its characters' numbers, the same on every database and under every locale."""
    return column.collate('"C"') if session.dialect.name == "postgresql" else column


def _position_of(session: Session, column: Any, text: Any) -> Any:
    """Where the text is in the column, 0 if nowhere. Unlike LIKE it has no special characters."""
    return fn.strpos(column, text) if session.dialect.name == "postgresql" else fn.instr(column, text)


def _has_any_label(session: Session, wanted: Sequence[str]) -> Any:
    names = [label for label in wanted if label != NO_LABEL]
    if session.dialect.name == "postgresql":
        has_any = fn.jsonb_exists_any(Source.labels, peewee.Value(names, converter=False, unpack=False).cast("text[]"))
        has_none = fn.jsonb_array_length(Source.labels) == 0
    else:
        parameters = ", ".join("?" * len(names))
        each = peewee.NodeList((peewee.SQL("(SELECT value FROM json_each("), Source.labels, peewee.SQL("))")))
        has_any = fn.EXISTS(
            peewee.NodeList(
                (
                    peewee.SQL("SELECT 1 FROM"),
                    each,
                    peewee.SQL(f"WHERE value IN ({parameters})", names),
                )
            )
        )
        has_none = fn.json_array_length(Source.labels) == 0
    return has_any | has_none if NO_LABEL in wanted else has_any
