variable "deployment" {
  description = "Where this is deployed: its name, the account, and what the ARNs of each service begin with."
  type = object({
    name       = string
    account_id = string
    arns       = map(string)
  })
  nullable = false
}

variable "models" {
  description = "Names of functions that serve models, which are called by their alias."
  type        = set(string)
  nullable    = false
}

variable "others" {
  description = "Names of the other functions to call."
  type        = set(string)
  nullable    = false
}
