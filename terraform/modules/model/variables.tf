variable "deployment" {
  description = "Where this is deployed: what the ARNs of each service begin with."
  type = object({
    arns = map(string)
  })
  nullable = false
}

variable "name" {
  description = "Name of the model."
  type        = string
  nullable    = false
}

variable "model" {
  description = "The model in the normal form of the module registry."
  type = object({
    description = string
    digest      = string
    names = object({
      function          = string
      queue             = string
      dead_letter_queue = string
      metric_dimensions = map(string)
    })
    files        = map(object({ source = string, sha256 = string }))
    route        = object({ prefixes = list(string), suffixes = list(string) })
    variables    = map(string)
    check        = string
    memory_mb    = number
    timeout_s    = number
    ephemeral_mb = number
    architecture = string
    batch        = object({ size = number, window_s = number })
    concurrency  = object({ maximum = number, reserved = optional(number) })
    alarms = object({
      dead_letters      = optional(number)
      queue_age_s       = optional(number)
      errors            = optional(number)
      throttles         = optional(number)
      input_errors      = optional(number)
      input_error_share = optional(number)
    })
    tags = map(string)
  })
  nullable = false
}

variable "buckets" {
  description = "Names of the buckets."
  type = object({
    inputs    = string
    results   = string
    artifacts = string
  })
  nullable = false
}

variable "queue_arn" {
  description = "The queue that the model's inputs arrive in, known once all queues exist."
  type        = string
  nullable    = false
}

variable "file_system" {
  description = "The file system that holds the weights, and the POSIX users that write and read them."
  type = object({
    id     = string
    arn    = string
    writer = number
    reader = number
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

variable "weights_sync" {
  description = "Name of the function that publishes weights."
  type        = string
  nullable    = false
}

variable "package" {
  description = "What the function runs from: an image, or code in S3 with layers. With publish_again, a version is published even if nothing changes."
  type = object({
    lambda_runtime = string
    image_uri      = optional(string)
    s3_bucket      = string
    s3_key         = optional(string)
    code_sha256    = optional(string)
    layers         = list(string)
    publish_again  = bool
  })
  nullable = false
}

variable "alarm_topic_arn" {
  description = "The SNS topic that alarms notify."
  type        = string
  nullable    = false
}

variable "notify_cleared_alarms" {
  description = "Whether the topic is also notified when an alarm clears."
  type        = bool
  nullable    = false
}

variable "log_retention_days" {
  description = "Days for which the log is kept."
  type        = number
  nullable    = false
}
