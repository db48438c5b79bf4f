variable "deployment" {
  description = "Where and under which name this is deployed."
  type = object({
    name   = string
    region = string
  })
  nullable = false
}

variable "buckets" {
  description = "ARNs of the buckets that functions may reach."
  type = object({
    inputs    = string
    results   = string
    artifacts = string
  })
  nullable = false
}

variable "role_arn" {
  description = "The role that Lambda uses to delete its network interfaces. Subnets and security group wait for it, so that it outlives them."
  type        = string
  nullable    = false
}
