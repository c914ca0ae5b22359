{{- /* What KubeRay's operator, Kueue or Ray would refuse or misunderstand is an error here, with its fix. */ -}}

{{- /* A variable of the Ray containers, by name. */ -}}
{{- define "animatic.checkVariable" -}}
{{- if has . (list "RAY_ADDRESS" "RAY_IP" "FQ_RAY_IP" "RAY_PORT" "RAY_CLUSTER_NAME" "RAY_REDIS_ADDRESS" "REDIS_PASSWORD" "REDIS_USERNAME" "RAY_AUTH_MODE" "RAY_AUTH_TOKEN" "RAY_enable_autoscaler_v2") -}}
{{- fail (printf "env: %s is set by KubeRay; remove it (Redis: gcsFaultTolerance, token: auth, autoscaler: autoscaling)" .) -}}
{{- end -}}
{{- if regexMatch "(?i)(password|passwd|secret|token|credential|api_?key|access_?key)" . -}}
{{- fail (printf "env: %s looks like a secret, which must not be in values; put it into a Secret and name that in envFromSecrets" .) -}}
{{- end -}}
{{- end -}}

{{- /* A text that objects of the release contain: (dict "what" its path "text") */ -}}
{{- define "animatic.checkText" -}}
{{- /* A password may contain a / where what follows the colon is no port. */ -}}
{{- if regexMatch "://[^/:@[:space:]]*:([^/[:space:]]*|[0-9]*[^0-9/[:space:]][^[:space:]]*|/[^[:space:]]*)@" .text -}}
{{- fail (printf "%s: the URL contains a password, which must not be in values; put it into a Secret and name that in envFromSecrets" .what) -}}
{{- end -}}
{{- end -}}

{{- /* (dict "pod" settings "what" its path) */ -}}
{{- define "animatic.checkMemory" -}}
{{- $memory := include "animatic.bytes" .pod.memory | int64 -}}
{{- $shared := include "animatic.bytes" .pod.sharedMemory | int64 -}}
{{- $store := include "animatic.bytes" .pod.objectStoreMemory | int64 -}}
{{- if ge $shared $memory -}}
{{- fail (printf "%s: sharedMemory %s is part of memory %s and must be less" .what .pod.sharedMemory .pod.memory) -}}
{{- end -}}
{{- if gt $store $shared -}}
{{- fail (printf "%s: objectStoreMemory %s does not fit into sharedMemory %s, where Ray keeps it" .what .pod.objectStoreMemory .pod.sharedMemory) -}}
{{- end -}}
{{- end -}}

{{- /* A worker group as an owner uses it, merged and checked: (dict "root" "owner" "what" "name") → YAML */ -}}
{{- define "animatic.group" -}}
{{- $what := printf "%s.groups.%s" .what .name -}}
{{- if not (hasKey .root.Values.workerGroups .name) -}}
{{- fail (printf "%s: there is no such group in workerGroups; it has: %s" $what (keys .root.Values.workerGroups | sortAlpha | join ", " | default "none")) -}}
{{- end -}}
{{- $override := index .owner.groups .name | default dict -}}
{{- $group := mergeOverwrite (deepCopy .root.Values.workerDefaults) (deepCopy (index .root.Values.workerGroups .name | default dict)) (deepCopy $override) -}}
{{- include "animatic.checkMemory" (dict "pod" $group "what" $what) -}}
{{- if and .owner.autoscaling (gt (int $group.minReplicas) (int $group.maxReplicas)) -}}
{{- fail (printf "%s: minReplicas %d is more than maxReplicas %d" $what (int $group.minReplicas) (int $group.maxReplicas)) -}}
{{- end -}}
{{- if and $group.spot (not .root.Values.spot.nodeSelector) -}}
{{- fail (printf "%s: spot is set, but spot.nodeSelector does not say which machines those are (karpenter.sh/capacity-type: spot, cloud.google.com/gke-spot: \"true\", …)" $what) -}}
{{- end -}}
{{- if hasKey $group.resources $group.gpuResource -}}
{{- fail (printf "%s: %s belongs into gpus, not into resources" $what $group.gpuResource) -}}
{{- end -}}
{{ toYaml $group }}
{{- end -}}

{{- /* What every Ray cluster needs: (dict "root" "owner" "what") */ -}}
{{- define "animatic.checkCluster" -}}
{{- $values := .root.Values -}}
{{- if not .owner.groups -}}
{{- fail (printf "%s: groups is empty; the head runs no work, so name a group of workerGroups" .what) -}}
{{- end -}}
{{- if and (eq $values.auth.mode "token") (semverCompare "<2.52.0" $values.rayVersion) -}}
{{- fail (printf "rayVersion %s: auth.mode token needs Ray 2.52 or newer" $values.rayVersion) -}}
{{- end -}}
{{- if and $values.auth.existingSecret (ne $values.auth.mode "token") -}}
{{- fail "auth.existingSecret is without effect: auth.mode is not token" -}}
{{- end -}}
{{- include "animatic.checkVolumes" $values -}}
{{- with $values.gcsFaultTolerance -}}
{{- if and .enabled (not .redisAddress) -}}
{{- fail "gcsFaultTolerance: redisAddress is not set; a Redis outside of the Ray cluster keeps its state" -}}
{{- end -}}
{{- if and .usernameKey (not .existingSecret) -}}
{{- fail "gcsFaultTolerance: usernameKey needs existingSecret" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What jobs and the cluster share, which Kueue may queue: (dict "root" "owner" "what") */ -}}
{{- define "animatic.checkOwner" -}}
{{- $values := .root.Values -}}
{{- include "animatic.checkCluster" . -}}
{{- if $values.kueue.queueName -}}
{{- if and .owner.autoscaling (not $values.kueue.elastic) -}}
{{- fail (printf "%s: Kueue admits clusters with autoscaling only with kueue.elastic (its gate ElasticJobsViaWorkloadSlices)" .what) -}}
{{- end -}}
{{- if gt (len .owner.groups) 17 -}}
{{- fail (printf "%s: Kueue admits at most 17 worker groups" .what) -}}
{{- end -}}
{{- else if or $values.kueue.priorityClass $values.kueue.elastic -}}
{{- fail "kueue.priorityClass and kueue.elastic are without effect: kueue.queueName is not set" -}}
{{- end -}}
{{- end -}}

{{- /* Volumes and where they are mounted, which the API server checks only when a pod is made. */ -}}
{{- define "animatic.checkVolumes" -}}
{{- $volumes := list "scratch" "shared-mem" "runs" -}}
{{- range .extraVolumes -}}
{{- if has .name (list "scratch" "shared-mem" "runs" "job" "api-keys") -}}
{{- fail (printf "extraVolumes: %s is a volume of the chart; name yours otherwise" .name) -}}
{{- end -}}
{{- if has .name $volumes -}}
{{- fail (printf "extraVolumes: two volumes have the name %s" .name) -}}
{{- end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- $paths := list "/tmp" "/dev/shm" "/etc/animatic" "/etc/animatic/api-keys" .runs.mountPath -}}
{{- range .extraVolumeMounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "extraVolumeMounts: there is no volume %s; declare it in extraVolumes, which has: %s" .name ($volumes | join ", ")) -}}
{{- end -}}
{{- if has .mountPath $paths -}}
{{- fail (printf "extraVolumeMounts: another volume is mounted at %s" .mountPath) -}}
{{- end -}}
{{- $paths = append $paths .mountPath -}}
{{- end -}}
{{- end -}}

{{- /* A job: (dict "root" "owner" "what") */ -}}
{{- define "animatic.checkJob" -}}
{{- include "animatic.checkOwner" . -}}
{{- $job := .owner -}}
{{- if not $job.steps -}}
{{- fail (printf "%s: steps is empty; as in [[train, --stage, \"1\"], [train, --stage, \"2\"]]" .what) -}}
{{- end -}}
{{- if and $job.deletionRules $job.shutdownAfterJobFinishes -}}
{{- fail (printf "%s: deletionRules and shutdownAfterJobFinishes exclude each other; set shutdownAfterJobFinishes: false and ttlSecondsAfterFinished: 0" .what) -}}
{{- end -}}
{{- if not $job.shutdownAfterJobFinishes -}}
{{- if $job.suspend -}}
{{- fail (printf "%s: suspend needs shutdownAfterJobFinishes" .what) -}}
{{- end -}}
{{- if $job.ttlSecondsAfterFinished -}}
{{- fail (printf "%s: ttlSecondsAfterFinished needs shutdownAfterJobFinishes; set it to 0" .what) -}}
{{- end -}}
{{- if .root.Values.kueue.queueName -}}
{{- fail (printf "%s: Kueue needs shutdownAfterJobFinishes, and so no deletionRules" .what) -}}
{{- end -}}
{{- end -}}
{{- if and .root.Values.kueue.queueName $job.suspend -}}
{{- fail (printf "%s: suspend is owned by Kueue; remove it, and use `stopPolicy: Hold` of the queue" .what) -}}
{{- end -}}
{{- include "animatic.checkDeletionRules" . -}}
{{- end -}}

{{- /* One rule for each policy and outcome; workers are deleted first, the RayJob itself last. */ -}}
{{- define "animatic.checkDeletionRules" -}}
{{- $what := .what -}}
{{- $seen := dict -}}
{{- range .owner.deletionRules -}}
{{- $outcome := .jobStatus | default .jobDeploymentStatus -}}
{{- $key := printf "%s/%s" $outcome .policy -}}
{{- if hasKey $seen $key -}}
{{- fail (printf "%s: deletionRules has two rules %s for %s" $what .policy $outcome) -}}
{{- end -}}
{{- $_ := set $seen $key (int .ttlSeconds) -}}
{{- if and $.owner.autoscaling (eq .policy "DeleteWorkers") -}}
{{- fail (printf "%s: the deletion policy DeleteWorkers is refused with autoscaling, which removes idle workers itself" $what) -}}
{{- end -}}
{{- end -}}
{{- range $outcome := list "SUCCEEDED" "FAILED" "Failed" -}}
{{- $before := 0 -}}
{{- range $policy := list "DeleteWorkers" "DeleteCluster" "DeleteSelf" -}}
{{- $key := printf "%s/%s" $outcome $policy -}}
{{- if hasKey $seen $key -}}
{{- if lt (index $seen $key) $before -}}
{{- fail (printf "%s: deletionRules for %s: ttlSeconds must not decrease from DeleteWorkers to DeleteCluster to DeleteSelf" $what $outcome) -}}
{{- end -}}
{{- $before = index $seen $key -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
