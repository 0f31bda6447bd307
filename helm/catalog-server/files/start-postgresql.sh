#!/bin/bash
# Starts PostgreSQL for trials. Makes its data first where there are none, and gives its two roles the passwords of the
# Secret wherever they have others, so that a release that is installed anew works with the volume of the one before.
# Works in the official image and in any other with PostgreSQL's programs on the PATH.
set -euo pipefail
umask 077
data=/var/lib/postgresql/data/pgdata
new=$data.new # becomes the data only once it is whole
settled=/var/lib/postgresql/data/passwords.sha256
passwords=(/passwords/superuser_password /passwords/application_password)

# Runs SQL from standard input in a server of this container's own: nobody else can reach it.
with_private_server() {
  pg_ctl --pgdata="$1" --wait --silent start --options="-c listen_addresses='' -c unix_socket_directories=/tmp \
    -c hba_file=/start/pg_hba.conf -c log_statement=none -c log_min_error_statement=panic"
  psql --host=/tmp --username=postgres --dbname=postgres --no-psqlrc --quiet --set=ON_ERROR_STOP=1
  pg_ctl --pgdata="$1" --wait --silent --mode=fast stop
}

if [ ! -w "${data%/*}" ]; then
  echo "${data%/*} belongs to $(stat --format=%U "${data%/*}"): the volume does not heed the pod's fsGroup. Set" \
    "postgresql.persistence.takeOwnership=true, or use another postgresql.persistence.storageClass" >&2
  exit 1
fi

if [ ! -e "$data" ]; then
  rm -rf "$new" "$settled"
  initdb --pgdata="$new" --username=postgres --pwfile=/passwords/superuser_password \
    --auth-host=scram-sha-256 --auth-local=peer --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  # The owner of the catalog's database can do nothing else.
  with_private_server "$new" <<'SQL'
CREATE ROLE catalog LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE catalog OWNER catalog;
REVOKE CONNECT ON DATABASE catalog FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
SQL
  mv "$new" "$data"
fi

major=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
if [ "$(cat "$data/PG_VERSION")" != "$major" ]; then
  echo "postgresql.image is PostgreSQL $major, the volume holds data of $(cat "$data/PG_VERSION"): use an image of" \
    "that version, or delete the PersistentVolumeClaim and lose the data" >&2
  exit 1
fi

if [ "$(cat "$settled" 2> /dev/null)" != "$(cat "${passwords[@]}" | sha256sum)" ]; then
  with_private_server "$data" <<'SQL'
\set superuser `cat /passwords/superuser_password`
\set application `cat /passwords/application_password`
ALTER ROLE postgres PASSWORD :'superuser';
ALTER ROLE catalog PASSWORD :'application';
SQL
  cat "${passwords[@]}" | sha256sum > "$settled"
fi

exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c hba_file=/start/pg_hba.conf \
  -c max_connections=200
