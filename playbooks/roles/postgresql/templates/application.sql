-- Says CREATE where it changed something. A failed statement must not show its password.
SET log_min_error_statement = panic;
-- There may be no replica yet that could confirm it.
SET synchronous_commit = local;
SELECT $$CREATE ROLE {{ postgresql_role }} LOGIN PASSWORD '{{ lookup('ansible.builtin.file', secrets_dir ~ '/postgresql_application_password') }}'$$
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{{ postgresql_role }}')
\gexec
SELECT 'CREATE DATABASE {{ postgresql_database }} OWNER {{ postgresql_role }}'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{{ postgresql_database }}')
\gexec
REVOKE ALL ON DATABASE {{ postgresql_database }}, postgres, template1 FROM PUBLIC;
