variable "deployment" {
  description = "Where and under which name this is deployed."
  type = object({
    name       = string
    region     = string
    account_id = string
    arns       = map(string)
  })
  nullable = false
}

variable "models" {
  description = "The models that the dashboard shows, each with its names in CloudWatch's metrics."
  type = map(object({
    function          = string
    queue             = string
    dead_letter_queue = string
    metric_dimensions = map(string)
  }))
  nullable = false
}

variable "alarms" {
  description = "The names of each model's alarms, known once they exist."
  type        = map(list(string))
  nullable    = false
}

variable "topic_arn" {
  description = "An existing topic to use instead of creating one."
  type        = string
  default     = null
}
