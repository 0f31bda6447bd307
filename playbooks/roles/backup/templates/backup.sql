-- Says CREATE where it changed something. A failed statement must not show its password.
SET log_min_error_statement = panic;
-- There may be no replica yet that could confirm it.
SET synchronous_commit = local;
SELECT $$CREATE ROLE {{ backup_role }} LOGIN REPLICATION PASSWORD '{{ lookup('ansible.builtin.file', secrets_dir ~ '/postgresql_backup_password') }}'$$
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{{ backup_role }}')
\gexec
{% if postgresql_failover == 'manual' %}
-- What a lost slot would have kept is gone.
SELECT 'DROPPED SLOT', pg_drop_replication_slot(slot_name) FROM pg_replication_slots
 WHERE slot_name = '{{ backup_slot }}' AND wal_status = 'lost';
SELECT 'CREATED SLOT' FROM pg_create_physical_replication_slot('{{ backup_slot }}', true)
 WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{{ backup_slot }}');
{% endif %}
