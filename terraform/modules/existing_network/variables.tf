variable "region" {
  description = "Region of the network."
  type        = string
  nullable    = false
}

variable "network" {
  description = "The network as it was given."
  type = object({
    vpc_id            = string
    subnet_ids        = list(string)
    security_group_id = string
  })
  nullable = false
}
