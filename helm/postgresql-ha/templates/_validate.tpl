{{- /* What values.schema.json can not say: each with the field, its value, and what to do. */ -}}
{{- define "postgresql-ha.validate" -}}
{{- include "postgresql-ha.validateFailover" . }}
{{- include "postgresql-ha.validateNames" . }}
{{- include "postgresql-ha.validateParameters" . }}
{{- include "postgresql-ha.validateAccess" . }}
{{- include "postgresql-ha.validateSecrets" . }}
{{- end }}

{{- define "postgresql-ha.validateFailover" -}}
{{- $values := .Values }}
{{- with $values.failover }}
{{- $least := add .loopWaitSeconds (mul 2 .retryTimeoutSeconds) }}
{{- if lt (int .ttlSeconds) (int $least) }}
{{- fail (printf "failover.ttlSeconds = %v: a primary could lose its lock while it still tries to renew it. Set it to %v or more: loopWaitSeconds (%v) + 2 x retryTimeoutSeconds (%v)" .ttlSeconds $least .loopWaitSeconds .retryTimeoutSeconds) }}
{{- end }}
{{- end }}
{{- $replicas := int $values.replicaCount }}
{{- with $values.replication }}
{{- if and (ne .mode "asynchronous") (ge (int .synchronousMembers) $replicas) (or (gt $replicas 1) (gt (int .synchronousMembers) 1)) }}
{{- fail (printf "replication.synchronousMembers = %v: of %v members, %v are beside the primary. Lower it, or raise replicaCount" .synchronousMembers $replicas (sub $replicas 1)) }}
{{- end }}
{{- if and (eq .mode "strict") (eq $replicas 1) }}
{{- fail "replication.mode = strict: a single member has nobody to be in step with, and would never take a write. Set replication.mode=synchronous, or raise replicaCount" }}
{{- end }}
{{- end }}
{{- $grace := add $values.handOverSeconds 30 }}
{{- if lt (int $values.terminationGracePeriodSeconds) (int $grace) }}
{{- fail (printf "terminationGracePeriodSeconds = %v: PostgreSQL could be killed while it stops. Set it to %v or more: handOverSeconds (%v) + 30" $values.terminationGracePeriodSeconds $grace $values.handOverSeconds) }}
{{- end }}
{{- end }}

{{- define "postgresql-ha.validateNames" -}}
{{- if has .Values.database.name (list "postgres" "template0" "template1") }}
{{- fail (printf "database.name = %s: that is a database of PostgreSQL's own. Choose another name" .Values.database.name) }}
{{- end }}
{{- if or (has .Values.database.owner (list "postgres" "replicator" "rewind" "monitoring")) (hasPrefix "pg_" .Values.database.owner) }}
{{- fail (printf "database.owner = %s: that is a role of PostgreSQL's or of the chart's own. Choose another name" .Values.database.owner) }}
{{- end }}
{{- end }}

{{- define "postgresql-ha.validateParameters" -}}
{{- $elsewhere := dict "synchronous_standby_names" "replication" "ssl" "tls" "ssl_cert_file" "tls" "ssl_key_file" "tls" "ssl_ca_file" "tls" }}
{{- $own := list "listen_addresses" "port" "cluster_name" "hot_standby" "wal_level" "wal_log_hints" "hba_file" "ident_file" "data_directory" "config_file" "external_pid_file" "unix_socket_directories" "primary_conninfo" "primary_slot_name" "recovery_target_timeline" "promote_trigger_file" "password_encryption" "fsync" "full_page_writes" }}
{{- range $name, $value := .Values.postgresql.parameters }}
{{- with index $elsewhere $name }}
{{- fail (printf "postgresql.parameters.%s = %v: the chart sets it. Remove it, and use %s" $name $value .) }}
{{- end }}
{{- if has $name $own }}
{{- fail (printf "postgresql.parameters.%s = %v: what members agree on, or what keeps data whole, is not to be changed here. Remove it" $name $value) }}
{{- end }}
{{- end }}
{{- $parameters := .Values.postgresql.parameters }}
{{- $senders := int (dig "max_wal_senders" 10 $parameters) }}
{{- $slots := int (dig "max_replication_slots" 10 $parameters) }}
{{- range $name, $value := dict "max_wal_senders" $senders "max_replication_slots" $slots }}
{{- if lt $value (add (int $.Values.replicaCount) 1 | int) }}
{{- fail (printf "postgresql.parameters.%s = %v: %v members and a backup need more. Set it to %v or more" $name $value $.Values.replicaCount (add (int $.Values.replicaCount) 1)) }}
{{- end }}
{{- end }}
{{- if .Values.pooler.enabled }}
{{- $connections := int (dig "max_connections" 100 $parameters) }}
{{- $pooled := int (mul .Values.pooler.poolSize .Values.pooler.replicaCount) }}
{{- if ge $pooled $connections }}
{{- fail (printf "pooler.poolSize = %v: %v poolers would take all of max_connections (%v). Lower it, or raise postgresql.parameters.max_connections" .Values.pooler.poolSize .Values.pooler.replicaCount $connections) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "postgresql-ha.validateAccess" -}}
{{- $values := .Values }}
{{- if and $values.service.nodePort (eq $values.service.type "ClusterIP") }}
{{- fail (printf "service.nodePort = %v: a Service of type ClusterIP has none. Set service.type=NodePort" $values.service.nodePort) }}
{{- end }}
{{- if and (not $values.serviceAccount.create) (empty $values.serviceAccount.name) }}
{{- fail "serviceAccount.name is empty: serviceAccount.create is false, so it must name an account that exists" }}
{{- end }}
{{- if and $values.metrics.prometheusRule.enabled (not $values.metrics.enabled) }}
{{- fail "metrics.prometheusRule.enabled = true: lag and slots are the exporter's to tell. Set metrics.enabled=true" }}
{{- end }}
{{- if and $values.metrics.podMonitor.enabled (not $values.metrics.enabled) }}
{{- fail "metrics.podMonitor.enabled = true: there is no exporter to read. Set metrics.enabled=true" }}
{{- end }}
{{- end }}

{{- define "postgresql-ha.validateSecrets" -}}
{{- $tls := .Values.tls }}
{{- if and $tls.existingSecret (not $tls.enabled) }}
{{- fail (printf "tls.existingSecret = %s: tls.enabled is false. Set tls.enabled=true, or leave the Secret out" $tls.existingSecret) }}
{{- end }}
{{- if and $tls.existingSecret (empty $tls.caCertificate) (not .Values.auth.existingSecret) }}
{{- fail (printf "tls.caCertificate is empty: clients of the certificate in %s need that of its authority, for <release>-app. Set it: --set-file tls.caCertificate=ca.crt" $tls.existingSecret) }}
{{- end }}
{{- if and $tls.caCertificate (not $tls.existingSecret) }}
{{- fail "tls.caCertificate is set: without tls.existingSecret the chart makes an authority of its own. Leave it out, or name the Secret" }}
{{- end }}
{{- /* Can be seen only where there is a cluster to look into, and the Secret is there already. */}}
{{- $needed := dict .Values.auth.existingSecret (list "auth" "owner_password" "replication_password" "rewind_password" "monitoring_password" "restapi_password") $tls.existingSecret (list "tls" "tls.crt" "tls.key" "ca.crt") }}
{{- range $secret, $keys := $needed }}
{{- if $secret }}
{{- with (lookup "v1" "Secret" $.Release.Namespace $secret).data }}
{{- $data := . }}
{{- range $key := rest $keys }}
{{- if not (hasKey $data $key) }}
{{- fail (printf "%s.existingSecret = %s: the Secret has no key %s. Add it" (first $keys) $secret $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
