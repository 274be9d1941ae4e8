variable "runpod_community_enabled" {
  description = "Whether a candidate may be a community machine (Community Cloud), cheaper."
  type        = bool
  default     = false
  nullable    = false
}

variable "runpod_image" {
  description = "Container image whose start script runs sshd with the key in PUBLIC_KEY, as RunPod's own images do."
  type        = string
  default     = "runpod/base:1.0.2-ubuntu2404"
  nullable    = false

  validation {
    condition     = can(regex("^\\S+(:[\\w.-]+|@sha256:[0-9a-f]{64})$", var.runpod_image)) && !endswith(var.runpod_image, ":latest")
    error_message = "runpod_image must name a tag other than latest, or a digest; got ${var.runpod_image}."
  }
}

variable "runpod_min_cuda_version" {
  description = "Least CUDA version of the host's driver, like 13.0; null takes any. A pod cannot change its host's driver."
  type        = string
  default     = "13.0"

  validation {
    condition     = var.runpod_min_cuda_version == null || can(regex("^\\d+\\.\\d+$", var.runpod_min_cuda_version))
    error_message = "runpod_min_cuda_version must look like 13.0, or be null; got ${coalesce(var.runpod_min_cuda_version, "nothing")}."
  }
}

variable "runpod_start_command" {
  description = "Command in place of the image's own; it ends in the image's start script. null leaves the image's own."
  type        = string
  default     = null
}

variable "runpod_terminate_after" {
  description = "Whether RunPod itself ends the pod at expires_at, whatever became of the runner."
  type        = bool
  default     = true
  nullable    = false
}
