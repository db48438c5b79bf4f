variable "registry_file" {
  description = "Path of the model registry, a YAML file; the artifacts' paths count from its folder."
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
  description = "What AWS allows the account, where it is known: concurrent executions, MB of memory per function, and rules per event bus."
  type = object({
    concurrency = optional(number)
    memory_mb   = optional(number)
    rules       = optional(number)
  })
  default  = {}
  nullable = false
}

variable "name_prefix" {
  description = "Name of the deployment, which begins the name of everything that is made from a model's name."
  type        = string
  default     = "modelyard"
  nullable    = false
}
