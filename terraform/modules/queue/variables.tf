variable "deployment" {
  description = "Where this is deployed: the account, and what the ARNs of each service begin with."
  type = object({
    account_id = string
    arns       = map(string)
  })
  nullable = false
}

variable "name" {
  description = "Name of the queue."
  type        = string
  nullable    = false
}

variable "dead_letter_name" {
  description = "Name of the dead-letter queue."
  type        = string
  nullable    = false
}

variable "inputs_bucket" {
  description = "Name of the bucket that may send to the queue; null if none may."
  type        = string
}

variable "event_rule" {
  description = "Name of the EventBridge rule that may send to the queue; null if none may."
  type        = string
}

variable "visibility_timeout_s" {
  description = "Seconds until an input that was received, but neither served nor given up, is tried again."
  type        = number
  nullable    = false
}

variable "retries" {
  description = "How many times an input is received before it goes to the dead-letter queue."
  type        = number
  nullable    = false
}

variable "tags" {
  description = "Tags of both queues."
  type        = map(string)
  nullable    = false
}
