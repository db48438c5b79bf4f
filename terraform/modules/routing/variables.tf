variable "deployment" {
  description = "Where this is deployed: the account, and what the ARNs of each service begin with."
  type = object({
    account_id = string
    arns       = map(string)
  })
  nullable = false
}

variable "inputs_bucket" {
  description = "Name of the bucket that inputs are uploaded to."
  type        = string
  nullable    = false
}

variable "event_way" {
  description = "How S3 announces uploads: `notification`, `eventbridge` or `both`."
  type        = string
  nullable    = false
}

variable "began_with" {
  description = "The `event_way` of this deployment's first apply."
  type        = string
  nullable    = false
}

variable "minutes_to_wait" {
  description = "Minutes for which both ways must have been in use before one of them may end: S3 takes up to five to apply a change."
  type        = number
  nullable    = false
}

variable "models" {
  description = "By model, its keys (one of the prefixes and, if there are suffixes, one of these) and the names and settings of its queues."
  type = map(object({
    prefixes             = list(string)
    suffixes             = list(string)
    queue                = string
    dead_letter_queue    = string
    visibility_timeout_s = number
    retries              = number
    tags                 = map(string)
  }))
  nullable = false
}
