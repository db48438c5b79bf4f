variable "deployment" {
  description = "Where and under which name this is deployed."
  type = object({
    name       = string
    partition  = string
    region     = string
    account_id = string
  })
  nullable = false
}

variable "models" {
  description = "Names of the models that the dashboard shows."
  type        = set(string)
  nullable    = false
}

variable "topic_arn" {
  description = "An existing topic to use instead of an own one."
  type        = string
  default     = null
}
