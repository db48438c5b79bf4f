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

variable "models" {
  description = "By model, the keys that it takes (one of the prefixes and, where there are any, one of the suffixes) and the names and settings of its queues."
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
