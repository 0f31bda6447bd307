{{- /*
Patroni's configuration of the cluster as a whole, kept by Patroni in an Endpoints object. What is written here goes in
when the cluster is made, and again whenever a member becomes primary (files/settle.py), so that the values stay true.
*/ -}}
{{- define "postgresql-ha.clusterConfiguration" -}}
{{- $name := include "postgresql-ha.name" . -}}
ttl: {{ .Values.failover.ttlSeconds }}
loop_wait: {{ .Values.failover.loopWaitSeconds }}
retry_timeout: {{ .Values.failover.retryTimeoutSeconds }}
master_start_timeout: {{ .Values.failover.primaryStartTimeoutSeconds }}
maximum_lag_on_failover: {{ int64 .Values.replication.maximumLagBytes }}
failsafe_mode: {{ .Values.failover.failsafe }}
synchronous_mode: {{ ne .Values.replication.mode "asynchronous" }}
synchronous_mode_strict: {{ eq .Values.replication.mode "strict" }}
synchronous_node_count: {{ .Values.replication.synchronousMembers }}
# Patroni makes a slot for each member that it sees, and drops it with the pod. These stay while a pod is replaced.
slots:
  {{- range $ordinal := until (int .Values.replicaCount) }}
  {{ printf "%s-%d" $name $ordinal | replace "-" "_" }}: {type: physical}
  {{- end }}
postgresql:
  use_slots: true
  use_pg_rewind: true
  parameters:
    {{- /* pg_rewind needs wal_log_hints or data checksums; checksums can be switched off, so both are on. */}}
    {{- $own := dict "wal_level" "replica" "wal_log_hints" "on" "password_encryption" "scram-sha-256" "max_wal_senders" 10 "max_replication_slots" 10 }}
    {{- merge (deepCopy .Values.postgresql.parameters) $own | toYaml | nindent 4 }}
{{- end }}

{{- /* Who gets in. The superuser only from within a member's own container, as the user that PostgreSQL runs as. */ -}}
{{- define "postgresql-ha.access" -}}
{{- $host := ternary "hostssl" "host" .Values.tls.enabled -}}
- local all postgres peer
- local replication replicator scram-sha-256
- local postgres monitoring scram-sha-256
- {{ $host }} replication replicator all scram-sha-256
- {{ $host }} postgres rewind all scram-sha-256
- {{ $host }} {{ .Values.database.name }} {{ .Values.database.owner }} all scram-sha-256
{{- end }}

{{- define "postgresql-ha.patroni" -}}
{{- $tls := .Values.tls.enabled -}}
scope: {{ include "postgresql-ha.name" . }}
kubernetes:
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "postgresql-ha.memberSelector" . | nindent 4 }}
  scope_label: postgresql-ha/cluster
  role_label: postgresql-ha/role
  # The lock and the address behind the Service of the primary are one object: whoever takes the lock is where clients
  # go, at the same instant.
  use_endpoints: true
  ports:
    - {name: postgresql, port: 5432}
restapi:
  listen: "*:8008"
  {{- if $tls }}
  certfile: /secrets/tls/tls.crt
  keyfile: /secrets/tls/tls.key
  cafile: /secrets/tls/ca.crt
ctl:
  cacert: /secrets/tls/ca.crt
  {{- end }}
bootstrap:
  dcs:
    {{- include "postgresql-ha.clusterConfiguration" . | nindent 4 }}
  initdb:
    - encoding: UTF8
    - locale: C.UTF-8
    - auth-host: scram-sha-256
    - auth-local: peer
    - data-checksums
  post_bootstrap: python3 /scripts/settle.py roles
postgresql:
  listen: "*:5432"
  data_dir: /var/lib/postgresql/data/pgdata
  pgpass: /run/patroni/pgpass
  use_unix_socket: true
  use_unix_socket_repl: true
  # A member that pg_rewind can not help is cloned anew, and needs nobody for it.
  remove_data_directory_on_rewind_failure: true
  basebackup:
    - checkpoint: fast
  callbacks:
    on_start: python3 /scripts/settle.py
    on_role_change: python3 /scripts/settle.py
  parameters:
    unix_socket_directories: /run/postgresql
    {{- if $tls }}
    ssl: "on"
    ssl_cert_file: /secrets/tls/tls.crt
    ssl_key_file: /secrets/tls/tls.key
    ssl_min_protocol_version: TLSv1.2
    {{- end }}
  pg_hba:
    {{- include "postgresql-ha.access" . | nindent 4 }}
  # files/start.py adds the passwords.
  authentication:
    superuser: {username: postgres}
    {{- range $role := list "replication" "rewind" }}
    {{ $role }}:
      username: {{ ternary "replicator" "rewind" (eq $role "replication") }}
      {{- if $tls }}
      sslmode: verify-full
      sslrootcert: /secrets/tls/ca.crt
      {{- end }}
    {{- end }}
# There is none in a container. What it is for, a primary that goes on after it lost its lock, synchronous replication
# takes the harm from: nobody is left to acknowledge its commits.
watchdog: {mode: "off"}
{{- end }}
