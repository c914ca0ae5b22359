{{- /* The name of a RayJob: (dict "root" $ "name" key in jobs). KubeRay ignores changes to a RayJob that has begun. A changed
     job is therefore another RayJob, whose name ends with the digest of everything that it runs; it resumes from the run
     folders. */ -}}
{{- define "animatic.jobName" -}}
{{- $values := .root.Values -}}
{{- $job := mergeOverwrite (deepCopy $values.jobDefaults) (deepCopy (index $values.jobs .name)) -}}
{{- $context := dict "root" .root "owner" $job "what" (printf "jobs.%s" .name) "job" "none" -}}
{{- include "animatic.checkJob" $context -}}
{{- $content := printf "%s\n%s" (include "animatic.jobFiles" $context) (include "animatic.jobSpec" $context) -}}
{{- $name := printf "%s-%s-%s" (include "animatic.fullname" .root) .name (sha256sum $content | trunc 8) -}}
{{- include "animatic.checkName" (dict "name" $name "what" $context.what) -}}
{{- $name -}}
{{- end -}}

{{- /* The spec of a RayJob: (dict "root" $ "owner" job "what" its path in values "job" its ConfigMap) */ -}}

{{- define "animatic.jobSpec" -}}
{{- $job := .owner -}}
{{- $values := .root.Values -}}
entrypoint: bash /etc/animatic/run.sh
submissionMode: K8sJobMode
backoffLimit: {{ int64 $job.backoffLimit }}
{{- if $job.preRunningDeadlineSeconds }}
preRunningDeadlineSeconds: {{ int64 $job.preRunningDeadlineSeconds }}
{{- end }}
{{- if $job.activeDeadlineSeconds }}
activeDeadlineSeconds: {{ int64 $job.activeDeadlineSeconds }}
{{- end }}
{{- if $job.deletionRules }}
deletionStrategy:
  deletionRules:
    {{- range $job.deletionRules }}
    - policy: {{ .policy }}
      condition: {{ toJson (mergeOverwrite (omit . "policy") (dict "ttlSeconds" (int64 .ttlSeconds))) }}
    {{- end }}
{{- else }}
shutdownAfterJobFinishes: {{ $job.shutdownAfterJobFinishes }}
{{- if $job.ttlSecondsAfterFinished }}
ttlSecondsAfterFinished: {{ int64 $job.ttlSecondsAfterFinished }}
{{- end }}
{{- end }}
{{- if $job.suspend }}
suspend: true
{{- end }}
submitterPodTemplate:
  {{- include "animatic.submitter" . | nindent 2 }}
rayClusterSpec:
  {{- include "animatic.cluster" . | nindent 2 }}
{{- end -}}

{{- /* The pod that runs `ray job submit` and follows the log. */ -}}
{{- define "animatic.submitter" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "animatic.selector" .root | nindent 4 }}
    app.kubernetes.io/component: submitter
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "animatic.serviceAccountName" .root }}
  enableServiceLinks: false
  automountServiceAccountToken: false
  securityContext:
    {{- include "animatic.podSecurity" .root | nindent 4 }}
  {{- with include "animatic.pullSecrets" .root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "animatic.scheduling" (dict "pod" $values.head "market" $values.onDemand) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - name: ray-job-submitter
      image: {{ include "animatic.rayImage" . }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      env:
        - {name: HOME, value: /tmp}
        - {name: RAY_USAGE_STATS_ENABLED, value: "0"}
      resources:
        {{- include "animatic.resources" (dict "cpu" "500m" "memory" "1Gi" "scratch" "1Gi") | nindent 8 }}
      securityContext:
        {{- include "animatic.containerSecurity" dict | nindent 8 }}
      volumeMounts:
        - {name: scratch, mountPath: /tmp}
  volumes:
    - name: scratch
      emptyDir: {sizeLimit: 1Gi}
{{- end -}}

{{- define "animatic.jobFiles" -}}
{{- range .owner.steps -}}
{{- range . -}}
{{- include "animatic.checkText" (dict "what" (printf "%s.steps" $.what) "text" (include "animatic.text" .)) -}}
{{- end -}}
{{- end -}}
{{- include "animatic.checkText" (dict "what" (printf "%s.config" .what) "text" (toYaml .owner.config)) -}}
run.sh: |
  # The steps of {{ .what }}, in order. Each resumes where an earlier attempt ended, and returns at once when it is finished.
  set -euo pipefail
  cd "$ANIMATIC_RUNS"
  {{- range .owner.steps }}
  animatic{{ range . }} {{ include "animatic.shellQuoted" (include "animatic.text" .) }}{{ end }}
  {{- end }}
{{- with .owner.config }}
config.yaml: |
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "animatic.shellQuoted" -}}
'{{ . | replace "'" "'\"'\"'" }}'
{{- end -}}

{{- define "animatic.kueueLabels" -}}
{{- with .Values.kueue.queueName }}
kueue.x-k8s.io/queue-name: {{ . }}
{{- end }}
{{- with .Values.kueue.priorityClass }}
kueue.x-k8s.io/priority-class: {{ . }}
{{- end }}
{{- end -}}

{{- define "animatic.kueueAnnotations" -}}
{{- if and .root.Values.kueue.elastic .owner.autoscaling }}
annotations:
  kueue.x-k8s.io/elastic-job: "true"
{{- end }}
{{- end -}}
