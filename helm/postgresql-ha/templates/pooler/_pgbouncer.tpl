{{- define "postgresql-ha.pgbouncer" -}}
[databases]
{{ .Values.database.name }} = host={{ include "postgresql-ha.host" (dict "root" . "service" (include "postgresql-ha.name" .)) }} port=5432

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /run/pgbouncer/userlist.txt
pool_mode = transaction
max_client_conn = {{ .Values.pooler.maxClientConnections }}
default_pool_size = {{ .Values.pooler.poolSize }}
max_db_connections = {{ .Values.pooler.poolSize }}
; What clients set for their own session can not hold for one that they share.
ignore_startup_parameters = options,extra_float_digits
; After a fail-over: look at a connection that was idle before it is given away, end the wait for a host that is gone,
; and try again every second.
server_check_delay = 1
server_connect_timeout = 3
server_login_retry = 1
query_wait_timeout = 15
tcp_keepalive = 1
tcp_keepidle = 5
tcp_keepintvl = 2
tcp_keepcnt = 3
tcp_user_timeout = 10000
dns_max_ttl = 5
{{- if .Values.tls.enabled }}
client_tls_sslmode = require
client_tls_ca_file = /secrets/tls/ca.crt
client_tls_cert_file = /secrets/tls/tls.crt
client_tls_key_file = /secrets/tls/tls.key
server_tls_sslmode = verify-full
server_tls_ca_file = /secrets/tls/ca.crt
{{- end }}
{{- end }}
