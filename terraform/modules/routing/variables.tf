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

variable "inputs_bucket" {
  description = "Name of the bucket that inputs are uploaded to."
  type        = string
  nullable    = false
}

variable "models" {
  description = "By model, the keys that it takes (one of the prefixes and, where there are any, one of the suffixes) and what its queue is made from."
  type = map(object({
    prefixes             = list(string)
    suffixes             = list(string)
    visibility_timeout_s = number
    retries              = number
    tags                 = map(string)
  }))
  nullable = false
}
