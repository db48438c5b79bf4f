variable "deployment" {
  description = "Where and under which name this is deployed."
  type = object({
    name = string
  })
  nullable = false
}

variable "network" {
  description = "The functions' network: a mount target is made in each subnet, open to the security group."
  type = object({
    vpc_id            = string
    subnet_ids        = list(string)
    security_group_id = string
  })
  nullable = false
}
