-- Says CREATE or GRANT where it changed something. A failed statement must not show its password.
SET log_min_error_statement = panic;
-- There may be no replica yet that could confirm it.
SET synchronous_commit = local;
SELECT $$CREATE ROLE {{ backup_role }} LOGIN REPLICATION PASSWORD '{{ lookup('ansible.builtin.file', secrets_dir ~ '/postgresql_backup_password') }}'$$
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{{ backup_role }}')
\gexec
SELECT 'CREATED SLOT' FROM pg_create_physical_replication_slot('{{ backup_slot }}', true)
 WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{{ backup_slot }}');
