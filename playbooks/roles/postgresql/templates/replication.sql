-- Says CREATE where it changed something. A failed statement must not show its password.
SET log_min_error_statement = panic;
-- There may be no replica yet that could confirm it.
SET synchronous_commit = local;
SELECT $$CREATE ROLE {{ postgresql_replication_role }} LOGIN REPLICATION PASSWORD '{{ lookup('ansible.builtin.file', secrets_dir ~ '/postgresql_replication_password') }}'$$
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{{ postgresql_replication_role }}')
\gexec
-- What pg_rewind reads with.
GRANT CONNECT ON DATABASE postgres TO {{ postgresql_replication_role }};
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
    pg_read_binary_file(text, bigint, bigint, boolean) TO {{ postgresql_replication_role }};
