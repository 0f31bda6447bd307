{{- /*
The authority and the certificate that the chart makes, once in a rendering, for all templates that need them: as JSON
with caCert, caKey, cert, key and names. An authority that is in the cluster is kept; so is a certificate, as long as it
is for the same names.
*/ -}}
{{- define "postgresql-ha.authority" -}}
{{- if not (hasKey .Values.tls "made") }}
{{- $name := include "postgresql-ha.name" . }}
{{- $names := list "localhost" }}
{{- range $service := list $name (printf "%s-replicas" $name) (printf "%s-pooler" $name) }}
{{- $host := include "postgresql-ha.host" (dict "root" $ "service" $service) }}
{{- $short := printf "%s.%s" $service $.Release.Namespace }}
{{- $names = concat $names (list $service $short (printf "%s.svc" $short) $host) }}
{{- end }}
{{- $names = append $names (printf "*.%s" (include "postgresql-ha.host" (dict "root" . "service" (include "postgresql-ha.members" .)))) }}
{{- $keptAuthority := (lookup "v1" "Secret" .Release.Namespace (printf "%s-ca" $name)).data | default dict }}
{{- $ca := "" }}
{{- if hasKey $keptAuthority "ca.key" }}
{{- $ca = buildCustomCert (index $keptAuthority "ca.crt") (index $keptAuthority "ca.key") }}
{{- else }}
{{- $ca = genCAWithKey (printf "%s authority" $name) 3650 (genPrivateKey "ecdsa") }}
{{- end }}
{{- $kept := lookup "v1" "Secret" .Release.Namespace (printf "%s-tls" $name) | default dict }}
{{- $keptNames := dig "metadata" "annotations" "postgresql-ha/names" "" $kept }}
{{- $made := dict "caCert" $ca.Cert "caKey" $ca.Key "names" (join "," $names) }}
{{- if and (eq $keptNames (join "," $names)) (eq (dig "data" "ca.crt" "" $kept | b64dec) $ca.Cert) }}
{{- $_ := set $made "cert" (index $kept.data "tls.crt" | b64dec) }}
{{- $_ := set $made "key" (index $kept.data "tls.key" | b64dec) }}
{{- else }}
{{- $signed := genSignedCertWithKey $name nil $names 3650 $ca (genPrivateKey "ecdsa") }}
{{- $_ := set $made "cert" $signed.Cert }}
{{- $_ := set $made "key" $signed.Key }}
{{- end }}
{{- $_ := set .Values.tls "made" $made }}
{{- end }}
{{- .Values.tls.made | toJson }}
{{- end }}

{{- define "postgresql-ha.caCertificate" -}}
{{- if .Values.tls.existingSecret }}{{ .Values.tls.caCertificate }}{{ else }}{{ (include "postgresql-ha.authority" . | fromJson).caCert }}{{ end }}
{{- end }}
