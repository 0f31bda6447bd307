#!/bin/bash
# Starts PostgreSQL for trials, and makes its data first where there are none: the owner of the catalog's database is a
# role that can do nothing else. Works in the official image and in any other with PostgreSQL's programs on the PATH.
set -euo pipefail
umask 077
data=/var/lib/postgresql/data/pgdata
new=$data.new # becomes the data only once it is whole

if [ ! -e "$data" ]; then
  rm -rf "$new"
  initdb --pgdata="$new" --username=postgres --pwfile=/passwords/superuser_password \
    --auth-host=scram-sha-256 --auth-local=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  echo "host all all all scram-sha-256" >> "$new/pg_hba.conf"
  pg_ctl --pgdata="$new" --wait --options="-c listen_addresses='' -c unix_socket_directories=/tmp" start
  PGPASSWORD=$(cat /passwords/superuser_password) psql --host=/tmp --username=postgres --dbname=postgres \
    --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<'SQL'
\set password `cat /passwords/application_password`
SET log_statement = 'none';
CREATE ROLE catalog LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE catalog OWNER catalog;
REVOKE CONNECT ON DATABASE catalog FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
SQL
  pg_ctl --pgdata="$new" --wait --mode=fast stop
  mv "$new" "$data"
fi

exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=200
