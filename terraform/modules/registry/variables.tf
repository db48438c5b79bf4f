variable "registry_file" {
  description = "Path of the model registry, a YAML file; the artifacts' paths count from its folder."
  type        = string
  nullable    = false
}

variable "quotas" {
  description = "What Lambda allows the account, where it is known: concurrent executions, and MB of memory per function."
  type = object({
    concurrency = optional(number)
    memory_mb   = optional(number)
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
