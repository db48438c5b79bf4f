variable "name" {
  description = "Name of the deployment."
  type        = string
  nullable    = false
}

variable "account_id" {
  description = "The account of Terraform's credentials."
  type        = string
  nullable    = false
}

variable "region" {
  description = "The region that Terraform is set to."
  type        = string
  nullable    = false
}

variable "event_way" {
  description = "How S3 announces uploads."
  type        = string
  nullable    = false
}

variable "role_name" {
  description = "Name of the role that is marked as this deployment's, with the output `tags`."
  type        = string
  nullable    = false
}
