-- Says CREATE where it changed something. A failed statement must not show its password.
SET log_min_error_statement = panic;
-- There may be no replica yet that could confirm it.
SET synchronous_commit = local;
SELECT $$CREATE ROLE {{ region_role }} LOGIN REPLICATION PASSWORD '{{ lookup('ansible.builtin.file', secrets_dir ~ '/postgresql_region_password') }}'$$
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{{ region_role }}')
\gexec
-- What it may read, second-region.yml grants: the tables that are sent.
GRANT CONNECT ON DATABASE {{ postgresql_database }} TO {{ region_role }};
