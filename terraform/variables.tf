variable "name" {
  description = "Name of the deployment; the names of all resources begin with it. A name can be used once per account: a deployment in another region needs another name."
  type        = string
  default     = "modelyard"
  nullable    = false

  validation {
    # No hyphen: "a" with a model "b-c" would have the same names as "a-b" with a model "c", and a policy for "a-*" would
    # cover the resources of "a-b".
    condition     = can(regex("^[a-z][a-z0-9]{1,15}$", var.name))
    error_message = "The name must consist of 2 to 16 lower-case letters and digits and begin with a letter: the names of buckets and functions are made from it, with a hyphen before the model's name."
  }
}

variable "registry_file" {
  description = "Path of the model registry, absolute or relative to this folder."
  type        = string
  default     = "../model_registry.yaml"
  nullable    = false
}

variable "event_way" {
  description = "How S3 announces uploads. `notification`: by the bucket's notification, for up to 100 routes (prefixes times suffixes). `eventbridge`: by one EventBridge rule per model, for more routes. `both`: the intermediate step when changing from one to the other."
  type        = string
  default     = "notification"
  nullable    = false

  validation {
    condition     = contains(["notification", "both", "eventbridge"], var.event_way)
    error_message = "event_way must be \"notification\", \"eventbridge\" or, to switch between them, \"both\"."
  }
}

variable "packages_manifest" {
  description = "Path of the manifest that `modelctl package` writes next to the packages, absolute or relative to this folder."
  type        = string
  default     = "../build/packages/manifest.json"
  nullable    = false
}

variable "runtime_images" {
  description = "Container image by runtime, as an ECR URI with a digest. Needed only to use a copy, in another repository, of the image that `modelctl image` recorded. Images are for AWS; the local stack ignores them."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "network" {
  description = "An existing network to use instead of creating one. It needs at least two private subnets, each in another availability zone and with a route to S3, and a security group for the functions that lets them reach S3 (HTTPS). If the network's S3 endpoint has its own policy, that must allow what the module network allows. This includes s3:ListBucket and s3:ListBucketVersions on the inputs bucket, although no role has them: without them, a deleted input looks like one that must not be read, and becomes a dead letter. The network cannot be changed later, but subnets can be appended."
  type = object({
    vpc_id            = string
    subnet_ids        = list(string)
    security_group_id = string
  })
  default = null

  validation {
    condition = var.network == null ? true : (
      can(regex("^vpc-", var.network.vpc_id)) && can(regex("^sg-", var.network.security_group_id)) &&
      alltrue([for subnet in coalesce(var.network.subnet_ids, []) : can(regex("^subnet-", subnet))])
    )
    error_message = "network must consist of ids, as in {vpc_id = \"vpc-…\", subnet_ids = [\"subnet-…\", \"subnet-…\"], security_group_id = \"sg-…\"}."
  }

  validation {
    condition     = var.network == null ? true : length(distinct(coalesce(var.network.subnet_ids, []))) >= 2 && length(distinct(var.network.subnet_ids)) == length(var.network.subnet_ids)
    error_message = "network.subnet_ids must contain at least two subnets, each once and each in another zone, so that functions keep running when a zone fails."
  }
}

variable "alarm_topic_arn" {
  description = "An existing SNS topic to use instead of creating one. CloudWatch must be allowed to publish to it, and to use its KMS key if it has one."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:[^:]+:sns:[^:]+:[0-9]{12}:[^:]+$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic, as in arn:aws:sns:eu-central-1:123456789012:on-call."
  }
}

variable "notify_cleared_alarms" {
  description = "Whether the topic is also notified when an alarm clears. CloudWatch then also notifies it once per new alarm, because new alarms go from \"insufficient data\" to \"OK\"."
  type        = bool
  default     = false
  nullable    = false
}

variable "announce_results" {
  description = "Whether S3 sends an event to EventBridge for each result. AWS charges $1 per million of these events, whether or not a rule uses them."
  type        = bool
  default     = false
  nullable    = false
}

variable "expiry_days" {
  description = "Days after which objects are deleted: `inputs` and `results` (by default, never), and `replaced_inputs`, the versions of inputs that a later upload replaced (by default, 30)."
  # An object type would silently drop a misspelt name.
  type     = map(number)
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for objects, days in var.expiry_days :
      contains(["inputs", "replaced_inputs", "results"], objects) && (days == null ? true : days >= 1 && floor(days) == days)
    ])
    error_message = "expiry_days accepts only inputs, replaced_inputs and results, each a whole number of days of 1 or more, as in {inputs = 90, results = 365}."
  }
}

variable "quotas" {
  description = "The account's AWS quotas. `memory_mb`, per function, cannot be read: set it if it is less than AWS's default (3008 in new accounts). `concurrency` and, with EventBridge, `rules` per event bus are read from Service Quotas unless they are set here."
  # An object type would silently drop a misspelt name.
  type     = map(number)
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for quota, most in var.quotas : contains(["concurrency", "memory_mb", "rules"], quota) && try(most >= 1 && floor(most) == most, false)])
    error_message = "quotas accepts only concurrency, memory_mb and rules, each a whole number of 1 or more, as in {concurrency = 10, memory_mb = 3008}."
  }
}

variable "read_quotas" {
  description = "Whether Terraform reads the account's quotas for concurrent executions and, with EventBridge, rules. If not, AWS's defaults are assumed and every plan says so, unless `quotas` sets the values. `modelctl` sets this automatically if a quota cannot be read."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_retention_days" {
  description = "Number of days for which the functions' logs are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch Logs keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` is allowed, which also deletes all inputs and results. Apply this value first: otherwise, `terraform destroy` fails before it destroys anything."
  type        = bool
  default     = false
  nullable    = false

  validation {
    # Only resources of this target, account, region and state may be destroyed. A validation must refer to its variable,
    # which is never null.
    condition     = var.force_destroy != null && local.misplaced == ""
    error_message = local.misplaced
  }
}

variable "publish_again" {
  description = "Models whose functions are published again even if nothing changes, to complete an interrupted update. For the command line only; an apply that needs it says so."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.publish_again : contains(keys(local.models), name)])
    error_message = "publish_again must contain only models of the registry, which has none called ${join(", ", [for name in var.publish_again : name if !contains(keys(local.models), name)])}."
  }
}
