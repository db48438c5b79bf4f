variable "deployment" {
  description = "Where this is deployed: what the ARNs of each service begin with."
  type = object({
    arns = map(string)
  })
  nullable = false
}

variable "name" {
  description = "Name of the function and of its role."
  type        = string
  nullable    = false
}

variable "artifacts_bucket" {
  description = "Name of the bucket that holds the artifacts."
  type        = string
  nullable    = false
}

variable "file_system" {
  description = "The file system that the weights are copied to, and its access point for writing."
  type = object({
    arn                     = string
    writer_access_point_arn = string
  })
  nullable = false
}

variable "network" {
  description = "The network that the function runs in."
  type = object({
    subnet_ids        = list(string)
    security_group_id = string
  })
  nullable = false
}

variable "package" {
  description = "The function's code in S3 and the Lambda runtime it was built for."
  type = object({
    lambda_runtime = string
    s3_bucket      = string
    s3_key         = string
    code_sha256    = string
  })
  nullable = false
}

variable "log_retention_days" {
  description = "Days for which the log is kept."
  type        = number
  nullable    = false
}

variable "mount_targets" {
  description = "Subnets in which the file system can be mounted; the function waits for them."
  type        = list(string)
  nullable    = false
}

variable "role_tags" {
  description = "Tags of the function's role."
  type        = map(string)
  default     = {}
  nullable    = false
}
