variable "registry_file" {
  description = "Path of the model registry, a YAML file. The artifacts' paths are relative to its folder."
  type        = string
  nullable    = false
}

variable "event_way" {
  description = "How S3 announces uploads: `notification`, `eventbridge` or `both`."
  type        = string
  default     = "notification"
  nullable    = false
}

variable "quotas" {
  description = "The account's quotas, if they are known: concurrent executions, MB of memory per function, and rules per event bus."
  type = object({
    concurrency = optional(number)
    memory_mb   = optional(number)
    rules       = optional(number)
  })
  default  = {}
  nullable = false
}

variable "name_prefix" {
  description = "Name of the deployment. All names that are made from a model's name begin with it."
  type        = string
  default     = "modelyard"
  nullable    = false
}
