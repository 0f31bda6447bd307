"""Reads of the catalog as it is served: what is visible, filtered, in a total order, a page at a time.

Invariant: every order ends with the id, so it is total, and a page continues strictly after the position
where the one before ended: pages of one query never overlap.

Documents are selected as text, so that they reach the client without being decoded and encoded again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

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


class ModelRow(NamedTuple):
    """A model of a list. Times are in milliseconds since 1970."""

    id: int
    source_id: str
    document: str
    created_ms: int
    updated_ms: int
    sort_key: Any


def models(
    session: Session, listing: Listing, *, sources: Sequence[str], labels: Sequence[str], text: str
) -> list[ModelRow]:
    """The models served, of the given sources, of sources with any of the labels, with the text in any of the
    searched fields; an empty filter lets everything pass.

    Orders: ID, NAME, CREATE_TIME, LAST_UPDATE_TIME, ACCURACY.
    """
    names = [label for label in labels if label != NO_LABEL]
    shape = _Shape(
        dialect=session.dialect.name,
        order_by=listing.order_by,
        descending=listing.descending,
        continues=listing.position is not None,
        sources=len(sources),
        labels=len(names),
        unlabelled=NO_LABEL in labels,
        searches=bool(text),
    )
    values: dict[str, Sequence[Any]] = {
        "limit": [listing.limit],
        "position": listing.position or (),
        "source": sources,
        "label": names,
        "labels": [names],
        "text": [text.casefold()],
    }
    sql, parameters = _models_statement(shape)
    bound = [values[each.name][each.index] if isinstance(each, _Parameter) else each for each in parameters]
    return [ModelRow(*row) for row in session.peewee.execute_sql(sql, bound).fetchall()]


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
    key = _binary(session.dialect.name, {"ID": Source.id, "NAME": Source.name}[listing.order_by])
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
        query = query.where(_position_of(session.dialect.name, fn.lower(Source.name), fn.lower(name)) > 0)
    return _page(session, query, key, _binary(session.dialect.name, Source.id), listing)


def labels(session: Session, listing: Listing, *, asset_type: str) -> list[Row]:
    """Rows (id, document, sort_key) in the order of the sources file."""
    key = Label.position
    query = Label.select(key.alias("id"), Label.document.cast("text").alias("document"), key.alias("sort_key")).where(
        Label.asset_type == asset_type
    )
    return _page(session, query, key, key, listing)


@dataclass(frozen=True)
class _Shape:
    """What the SQL of a list of models depends on; everything else is a parameter."""

    dialect: str
    order_by: str
    descending: bool
    continues: bool
    sources: int
    labels: int
    unlabelled: bool
    searches: bool


@dataclass(frozen=True)
class _Parameter:
    """Stands in a compiled statement for a value of the request."""

    name: str
    index: int = 0


def _parameter(name: str, index: int = 0) -> Any:
    return peewee.Value(_Parameter(name, index), converter=False, unpack=False)


_SQL_CONTEXTS = {
    "postgresql": peewee.PostgresqlDatabase(None).get_sql_context,
    "sqlite": peewee.SqliteDatabase(None).get_sql_context,
}


@lru_cache(maxsize=512)
def _models_statement(shape: _Shape) -> tuple[str, list[Any]]:
    """SQL and parameters. Kept by shape, since building a query takes longer than running it."""
    key = _model_key(shape)
    query = (
        Model.select(
            Model.id,
            Model.source_id,
            Model.document.cast("text"),
            Model.created_ms,
            Model.updated_ms,
            key.alias("sort_key"),
        )
        .join(Source, on=(Source.id == Model.source_id))
        .where(Source.enabled)
    )
    if shape.sources:
        query = query.where(Model.source_id.in_([_parameter("source", at) for at in range(shape.sources)]))
    if shape.labels or shape.unlabelled:
        query = query.where(_has_label(shape))
    if shape.searches:
        query = query.where(_position_of(shape.dialect, Model.search_text, _parameter("text")) > 0)
    position = (_parameter("position", 0), _parameter("position", 1)) if shape.continues else None
    query = _ordered(query, key, Model.id, shape.descending, position).limit(_parameter("limit"))
    sql, parameters = _SQL_CONTEXTS[shape.dialect]().sql(query).query()
    return sql, parameters


def _page(session: Session, query: Any, key: Any, tie_break: Any, listing: Listing) -> list[Row]:
    query = _ordered(query, key, tie_break, listing.descending, listing.position).limit(listing.limit)
    return list(query.namedtuples().execute(session.peewee))


def _ordered(query: Any, key: Any, tie_break: Any, descending: bool, position: tuple[Any, ...] | None) -> Any:
    """In a total order, and strictly after the position."""
    if position is not None:
        here, there = peewee.Tuple(key, tie_break), peewee.Tuple(*position)
        query = query.where(here < there if descending else here > there)
    return query.order_by(key.desc(), tie_break.desc()) if descending else query.order_by(key, tie_break)


def _model_key(shape: _Shape) -> Any:
    if shape.order_by == "NAME":
        return _binary(shape.dialect, Model.name)
    if shape.order_by == "ACCURACY":
        # Models without the figure come last in either direction.
        return fn.COALESCE(Model.accuracy, -math.inf if shape.descending else math.inf)
    keys = {"ID": Model.id, "CREATE_TIME": Model.created_ms, "LAST_UPDATE_TIME": Model.updated_ms}
    return keys[shape.order_by]


def _has_label(shape: _Shape) -> Any:
    if shape.dialect == "postgresql":
        has_any = fn.jsonb_exists_any(Source.labels, _parameter("labels").cast("text[]"))
        has_none = fn.jsonb_array_length(Source.labels) == 0
    else:
        wanted = [_Parameter("label", at) for at in range(shape.labels)]
        inside = peewee.SQL(f")) WHERE value IN ({', '.join('?' * len(wanted))})", wanted)
        each = peewee.SQL("SELECT 1 FROM (SELECT value FROM json_each(")
        has_any = fn.EXISTS(peewee.NodeList((each, Source.labels, inside)))
        has_none = fn.json_array_length(Source.labels) == 0
    return has_any | has_none if shape.unlabelled else has_any


def _binary(dialect: str, column: Any) -> Any:
    """Text ordered by its characters' numbers, the same on every database and under every locale."""
    return column.collate('"C"') if dialect == "postgresql" else column


def _position_of(dialect: str, column: Any, text: Any) -> Any:
    """Where the text is in the column, 0 if nowhere. Unlike LIKE it has no special characters."""
    return fn.strpos(column, text) if dialect == "postgresql" else fn.instr(column, text)
