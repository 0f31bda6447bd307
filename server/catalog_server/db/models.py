"""Peewee models of the catalog's tables, for the query builder.

The models are bound to no database: every query names its own, `query.execute(session.peewee)`, so that it
runs on the connection of the session at hand and nowhere else. The schema is made by migrations, not here.
"""

import json
from typing import Any

import peewee


class JsonField(peewee.Field):
    """An array or object: jsonb on PostgreSQL, text on SQLite."""

    field_type = "JSONB"

    def db_value(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)

    def python_value(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value


class Source(peewee.Model):
    """A row of the sources file, with the state of its last refresh."""

    id = peewee.TextField(primary_key=True)
    position = peewee.IntegerField()
    name = peewee.TextField()
    type = peewee.TextField()
    asset_type = peewee.TextField()
    enabled = peewee.BooleanField()
    labels = JsonField()
    included_models = JsonField()
    excluded_models = JsonField()
    properties = JsonField()
    status = peewee.TextField()
    error = peewee.TextField(null=True)
    revision = peewee.TextField(null=True)
    etag = peewee.TextField(null=True)
    last_modified = peewee.TextField(null=True)
    refresh_interval_seconds = peewee.DoubleField()
    refreshed_at = peewee.DateTimeField(null=True)

    class Meta:
        table_name = "catalog_sources"


class Label(peewee.Model):
    """A label of the sources file; `document` is what is served."""

    position = peewee.IntegerField(primary_key=True)
    asset_type = peewee.TextField()
    name = peewee.TextField(null=True)
    document = JsonField()

    class Meta:
        table_name = "catalog_labels"


class Model(peewee.Model):
    """A model; `document` is what is served but for id, source and times."""

    id = peewee.BigAutoField()
    source_id = peewee.TextField()
    name = peewee.TextField()
    search_text = peewee.TextField()
    accuracy = peewee.DoubleField(null=True)
    document = JsonField()
    created_ms = peewee.BigIntegerField()
    updated_ms = peewee.BigIntegerField()

    class Meta:
        table_name = "catalog_models"


class Artifact(peewee.Model):
    """An artifact of a model; `document` is what is served but for id and times."""

    id = peewee.BigAutoField()
    model_id = peewee.BigIntegerField()
    document = JsonField()
    created_ms = peewee.BigIntegerField()
    updated_ms = peewee.BigIntegerField()

    class Meta:
        table_name = "catalog_artifacts"


def is_storable(text: str) -> bool:
    """False for what PostgreSQL's text can not hold: NUL, and surrogates that are no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
