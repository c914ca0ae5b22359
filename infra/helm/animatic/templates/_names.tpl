{{- /* Names, labels, images. */ -}}

{{- define "animatic.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- /* Labels that select pods of this release. */ -}}
{{- define "animatic.selector" -}}
app.kubernetes.io/name: animatic
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Labels of objects. Pods have the selector's only, so that a new chart version restarts no job. */ -}}
{{- define "animatic.labels" -}}
{{ include "animatic.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* RayJobs and RayClusters: KubeRay appends up to 16 characters to make names of Services and pods.
     (dict "name" "what") */ -}}
{{- define "animatic.checkName" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .name) -}}
{{- fail (printf "%s: the name %q is no DNS-1035 label (a-z, 0-9 and -, beginning with a letter)" .what .name) -}}
{{- end -}}
{{- if gt (len .name) 47 -}}
{{- fail (printf "%s: the name %q has %d characters, KubeRay admits 47; choose a shorter release, job or fullnameOverride" .what .name (len .name)) -}}
{{- end -}}
{{- end -}}

{{- /* (dict "image" .Values.image "default" tag) */ -}}
{{- define "animatic.reference" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .default }}
{{- end -}}
{{- end -}}

{{- define "animatic.image" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is not set: build infra/images/train.Dockerfile, push it, and pass --set image.repository=REGISTRY/animatic" -}}
{{- end -}}
{{- include "animatic.reference" (dict "image" .Values.image "default" .Chart.AppVersion) -}}
{{- end -}}

{{- /* The image of a Ray pod: (dict "root" $ "owner" what the cluster is for) */ -}}
{{- define "animatic.rayImage" -}}
{{- if and .owner.isService .root.Values.serve.image.repository -}}
{{- include "animatic.reference" (dict "image" .root.Values.serve.image "default" .root.Chart.AppVersion) -}}
{{- else -}}
{{- include "animatic.image" .root -}}
{{- end -}}
{{- end -}}

{{- /* Names of the jobs that are enabled, as a list in JSON. */ -}}
{{- define "animatic.jobs" -}}
{{- $names := list -}}
{{- range $name := keys (.Values.jobs | default dict) | sortAlpha -}}
{{- $own := index $.Values.jobs $name -}}
{{- if ternary $own.enabled $.Values.jobDefaults.enabled (hasKey $own "enabled") -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{- /* The number of Ray clusters of jobs; 0 where there is nothing to run. */ -}}
{{- define "animatic.batchClusters" -}}
{{- add (include "animatic.jobs" . | fromJsonArray | len) (ternary 1 0 .Values.cluster.enabled) -}}
{{- end -}}

{{- /* With the service's. */ -}}
{{- define "animatic.clusters" -}}
{{- add (include "animatic.batchClusters" .) (ternary 1 0 .Values.serve.enabled) -}}
{{- end -}}

{{- /* Whether pods mount the volume of runs: all of jobs do. */ -}}
{{- define "animatic.usesRuns" -}}
{{- if or (ne (include "animatic.batchClusters" .) "0") (and .Values.serve.enabled .Values.serve.mountRuns) -}}true{{- end -}}
{{- end -}}

{{- define "animatic.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "animatic.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "animatic.runsClaim" -}}
{{- .Values.runs.existingClaim | default (printf "%s-runs" (include "animatic.fullname" .)) -}}
{{- end -}}

{{- /* A scalar of values as text. Helm reads numbers as floating point and would print 1000000 as 1e+06; the schema admits
     whole numbers only. */ -}}
{{- define "animatic.text" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else if kindIs "bool" . -}}{{ . }}{{- else -}}{{ int64 . }}{{- end -}}
{{- end -}}

{{- /* Bytes of a quantity in Mi, Gi or Ti; the schema admits no other unit. */ -}}
{{- define "animatic.bytes" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- if hasSuffix "Mi" . -}}{{ mul $number 1048576 }}
{{- else if hasSuffix "Gi" . -}}{{ mul $number 1073741824 }}
{{- else -}}{{ mul $number 1099511627776 }}
{{- end -}}
{{- end -}}
