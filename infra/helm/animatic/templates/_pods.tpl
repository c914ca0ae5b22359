{{- /* Pods of Ray. */ -}}

{{- define "animatic.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
  {{- if .ipcLock }}
  add: [IPC_LOCK]
  {{- end }}
{{- end -}}

{{- define "animatic.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.podSecurity.runAsUser }}
runAsGroup: {{ int64 .Values.podSecurity.runAsGroup }}
fsGroup: {{ int64 .Values.podSecurity.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* Requests and limits, which are equal. */ -}}
{{- define "animatic.resources" -}}
{{- $quantities := dict "cpu" (include "animatic.text" .cpu) "memory" .memory "ephemeral-storage" .scratch -}}
{{- range $name, $count := .resources | default dict -}}
{{- $_ := set $quantities $name (include "animatic.text" $count) -}}
{{- end -}}
{{- if .gpus -}}
{{- $_ := set $quantities .gpuResource (include "animatic.text" .gpus) -}}
{{- end -}}
{{ toYaml (dict "limits" $quantities "requests" $quantities) }}
{{- end -}}

{{- /* Environment of a Ray container: (dict "root" $ "owner" "own" map "drain" seconds) */ -}}
{{- define "animatic.environment" -}}
{{- $values := .root.Values -}}
{{- $environment := dict
    "HOME" "/tmp"
    "ANIMATIC_RUNS" (ternary $values.runs.mountPath "/tmp/runs" (eq (include "animatic.mountsRuns" .owner) "true"))
    "ANIMATIC_CACHE" "/tmp/cache"
    "RAY_USAGE_STATS_ENABLED" "0"
    "MLFLOW_DISABLE_TELEMETRY" "true"
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S" .drain
-}}
{{- if .owner.isService -}}
{{- /* Threads that wait for each other leave the processor to others: what the application sets for its replicas, ray_actor_options replace. */ -}}
{{- $_ := set $environment "OMP_WAIT_POLICY" "PASSIVE" -}}
{{- end -}}
{{- if $values.mlflow.enabled -}}
{{- $_ := set $environment "ANIMATIC_MLFLOW_URI" (printf "http://%s-mlflow:5000" (include "animatic.fullname" .root)) -}}
{{- end -}}
{{- with $values.registry -}}
{{- $_ := set $environment "ANIMATIC_REGISTRY" . -}}
{{- end -}}
{{- $environment = mergeOverwrite $environment (deepCopy $values.nccl) (deepCopy $values.env) (deepCopy .own) -}}
env:
{{- range $name, $value := $environment }}
  {{- include "animatic.checkVariable" $name }}
  {{- include "animatic.checkText" (dict "what" (printf "env: %s" $name) "text" (include "animatic.text" $value)) }}
  - name: {{ $name }}
    value: {{ include "animatic.text" $value | quote }}
{{- end }}
{{- if and .owner.isService .owner.databasePassword.existingSecret }}
  - name: PGPASSWORD # read by PostgreSQL's client library
    valueFrom:
      secretKeyRef: {name: {{ .owner.databasePassword.existingSecret }}, key: {{ .owner.databasePassword.key }}}
{{- end }}
{{- with $values.envFromSecrets }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* Whether the pods of a job, cluster or service mount the volume of runs. */ -}}
{{- define "animatic.mountsRuns" -}}
{{- if or (not .isService) .mountRuns -}}true{{- end -}}
{{- end -}}

{{- /* Distinguishes the pods of the service from those of jobs. */ -}}
{{- define "animatic.serviceLabel" -}}
{{- if .isService -}}
animatic/role: serve
{{- end -}}
{{- end -}}

{{- /* Volumes of a Ray pod: (dict "root" $ "owner" "pod" settings "job" for the head of jobs: the ConfigMap of its job, or "none") */ -}}
{{- define "animatic.volumes" -}}
- name: scratch
  emptyDir: {sizeLimit: {{ .pod.scratch }}}
- name: shared-mem
  emptyDir: {medium: Memory, sizeLimit: {{ .pod.sharedMemory }}}
{{- if include "animatic.mountsRuns" .owner }}
- name: runs
  persistentVolumeClaim: {claimName: {{ include "animatic.runsClaim" .root }}}
{{- end }}
{{- if and .owner.isService .owner.apiKeys.existingSecret }}
- name: api-keys
  projected:
    # A changed Secret appears in the file, which the service reads again.
    defaultMode: 256
    sources:
      - secret:
          name: {{ .owner.apiKeys.existingSecret }}
          items: [{key: {{ .owner.apiKeys.key }}, path: keys}]
{{- end }}
{{- if .job }}
- name: job
  projected:
    sources:
      - configMap: {name: {{ include "animatic.fullname" .root }}-head}
      {{- if ne .job "none" }}
      - configMap: {name: {{ .job }}}
      {{- end }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "animatic.volumeMounts" -}}
- {name: scratch, mountPath: /tmp}
- {name: shared-mem, mountPath: /dev/shm}
{{- if include "animatic.mountsRuns" .owner }}
- name: runs
  mountPath: {{ .root.Values.runs.mountPath }}
  {{- with .root.Values.runs.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- if and .owner.isService .owner.apiKeys.existingSecret }}
- {name: api-keys, mountPath: /etc/animatic/api-keys, readOnly: true}
{{- end }}
{{- if .job }}
- {name: job, mountPath: /etc/animatic, readOnly: true}
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Where a pod may run: (dict "pod" settings "market" .Values.spot or .Values.onDemand) */ -}}
{{- define "animatic.scheduling" -}}
{{- with mergeOverwrite (deepCopy .market.nodeSelector) (deepCopy .pod.nodeSelector) }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat .market.tolerations .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* Of heads and of workers of jobs: consolidation of machines must not end weeks of training. Workers of the service may move: another
     replica continues what they did. */ -}}
{{- define "animatic.workerAnnotations" -}}
{{- if not .owner.isService -}}
{{- include "animatic.podAnnotations" .group.annotations -}}
{{- else if .group.annotations -}}
{{- toYaml .group.annotations -}}
{{- end -}}
{{- end -}}

{{- define "animatic.podAnnotations" -}}
{{- $fixed := dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" "karpenter.sh/do-not-disrupt" "true" -}}
{{ toYaml (mergeOverwrite $fixed (deepCopy .)) }}
{{- end -}}

{{- define "animatic.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}
