variable "deployment" {
  description = "Where this is deployed: what the ARNs of each service begin with."
  type = object({
    arns = map(string)
  })
  nullable = false
}

variable "name" {
  description = "Name of the role."
  type        = string
  nullable    = false
}

variable "log_group" {
  description = "Name of the log group that the function writes to."
  type        = string
  nullable    = false
}

variable "mount" {
  description = "The access point that the function mounts, and whether it writes there."
  type = object({
    file_system_arn  = string
    access_point_arn = string
    write            = bool
  })
  nullable = false
}

variable "statements" {
  description = "What the function's own work needs, by statement id."
  type = map(object({
    actions   = list(string)
    resources = list(string)
  }))
  nullable = false
}

variable "kept" {
  description = "The statement (its id in `statements`) whose resources the role may still use for some days after a change has removed them. By default, there is none."
  type = object({
    sid  = string
    days = number
  })
  default = null
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
  nullable    = false
}
