{{- define "postgresql-ha.alerts" -}}
{{- $name := include "postgresql-ha.name" . -}}
{{- $of := printf "{namespace=%q, scope=%q}" .Release.Namespace $name -}}
{{- $pods := printf "{namespace=%q, pod=~%q}" .Release.Namespace (printf "%s-[0-9]+" $name) -}}
{{- $rules := .Values.metrics.prometheusRule -}}
- alert: PostgresqlNoPrimary
  expr: absent(patroni_primary{{ $of }} == 1)
  for: 30s
  labels: {severity: critical}
  annotations:
    summary: No member of {{ $name }} is primary, nothing can be written.
- alert: PostgresqlTwoPrimaries
  # A primary that was taken over from may say so for a moment.
  expr: sum(patroni_primary{{ $of }}) > 1
  for: 1m
  labels: {severity: critical}
  annotations:
    summary: More than one member of {{ $name }} takes itself for the primary.
- alert: PostgresqlMemberMissing
  expr: sum(patroni_postgres_running{{ $of }}) < {{ .Values.replicaCount }} or absent(patroni_postgres_running{{ $of }})
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: Fewer than {{ .Values.replicaCount }} members of {{ $name }} run.
{{- if ne .Values.replication.mode "asynchronous" }}
- alert: PostgresqlNoReplicaInStep
  expr: sum(patroni_sync_standby{{ $of }}) < {{ .Values.replication.synchronousMembers }}
  for: 2m
  labels: {severity: critical}
  annotations:
    summary: Fewer than {{ .Values.replication.synchronousMembers }} replicas of {{ $name }} have everything that is acknowledged. The primary is the only one that may be primary.
{{- end }}
- alert: PostgresqlReplicaBehind
  expr: postgresql_ha_replay_lag_seconds{{ $pods }} > {{ $rules.lagSeconds }}
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: {{ print "{{ $labels.pod }} is {{ $value | humanizeDuration }} behind." | quote }}
- alert: PostgresqlSlotHoldsBack
  expr: postgresql_ha_slot_retained_bytes{{ $pods }} > {{ int64 $rules.retainedBytes }}
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: {{ print "The slot {{ $labels.slot_name }} holds {{ $value | humanize1024 }}B of WAL back: its member is away or can not keep up." | quote }}
- alert: PostgresqlSlotLost
  expr: postgresql_ha_slot_lost{{ $pods }} == 1
  labels: {severity: warning}
  annotations:
    summary: {{ print "WAL that the member of the slot {{ $labels.slot_name }} needs is gone. Make it anew, patronictl reinit." | quote }}
- alert: PostgresqlFailsafe
  expr: max(patroni_failsafe_mode_is_active{{ $of }}) == 1
  for: 1m
  labels: {severity: warning}
  annotations:
    summary: Members of {{ $name }} do not reach the Kubernetes API, and keep their primary by asking each other.
- alert: PostgresqlRestartPending
  expr: patroni_pending_restart{{ $of }} == 1
  for: 1h
  labels: {severity: warning}
  annotations:
    summary: {{ print "{{ $labels.pod }} has settings that only a restart brings into force: patronictl restart --pending." | quote }}
{{- end }}
