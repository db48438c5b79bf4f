# The account's quotas. A registry that exceeds them may fit into another account, so it is not wrong: these problems are
# separate from the registry's own. `modelctl validate` has no account, and notes what exceeds AWS's defaults.

locals {
  # AWS's defaults, and how many executions must stay unreserved.
  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
  _default_quotas = { concurrency = 1000, memory_mb = 10240, rules = 300 }
  _unreserved     = 100
  # The memory that functions can have in new accounts. No API says so before Lambda refuses more.
  # https://repost.aws/questions/QUKruWYNDYTSmP17jCnIz6IQ
  _new_memory_mb = 3008

  quotas = { for quota, default in local._default_quotas : quota => coalesce(var.quotas[quota], default) }
  # New accounts have less than the default.
  _is_new = local.quotas.concurrency < local._default_quotas.concurrency

  # Values that break their own rule are null, or not numbers, and are not reported here again.
  _memory_mb = { for name, model in local.merged : name => model.memory_mb if can(model.memory_mb + 0) }
  _reserved  = { for name, model in local.merged : name => model["concurrency.reserved"] if can(model["concurrency.reserved"] + 0) }
  _maximum   = { for name, model in local.merged : name => model["concurrency.maximum"] if can(model["concurrency.maximum"] + 0) }

  _all_reserved = sum(concat([0], values(local._reserved)))
  _all_at_once  = sum(concat([0], values(local._maximum)))
  _request      = "request more (Service Quotas: AWS Lambda, Concurrent executions, L-B99A9384)"

  # What AWS would refuse.
  quota_problems = concat(
    local.way_problems,
    [for name, memory_mb in local._memory_mb :
      {
        path    = "models.${name}.memory_mb"
        message = "must be at most ${local.quotas.memory_mb}, the memory that Lambda allows a function in this account, not ${memory_mb}; lower it, or ask AWS Support for more"
      } if memory_mb > local.quotas.memory_mb
    ],
    [for reserved in [local._all_reserved] :
      {
        path    = "models"
        message = "reserve ${reserved} executions in total (${join(", ", [for name, executions in local._reserved : "${name} ${executions}"])}), but the account has ${local.quotas.concurrency}, and ${local._unreserved} must stay unreserved; lower concurrency.reserved or leave it out, or ${local._request}"
      } if reserved > max(0, local.quotas.concurrency - local._unreserved)
    ],
  )

  # What is only likely, or a bad idea.
  quota_warnings = concat(
    var.quotas.concurrency != null ? [] : [
      "Lambda's quotas for this account are not known, so AWS's defaults are assumed: ${local.quotas.concurrency} concurrent executions and ${local.quotas.memory_mb} MB per function. New accounts have less. Set quotas.concurrency to what `aws lambda get-account-settings` shows.",
    ],
    [for default in [local._default_quotas.rules] :
      "The number of EventBridge rules that this account may have is not known, so AWS's default is assumed: ${default} per event bus. Set quotas.rules to what Service Quotas shows (Amazon EventBridge, Number of rules, L-244521F2)."
      if local._by_rules && var.quotas.rules == null
    ],
    [for models in [join(", ", [for name, memory_mb in local._memory_mb : "models.${name}.memory_mb (${memory_mb})" if memory_mb > local._new_memory_mb])] :
      "This account has ${local.quotas.concurrency} concurrent executions, like a new account. Its functions can probably have at most ${local._new_memory_mb} MB of memory; Lambda would then refuse ${models}. Lower it, or ask AWS Support for more; set quotas.memory_mb to what is allowed."
      if models != "" && local._is_new && var.quotas.memory_mb == null
    ],
    [for models in [join(", ", [for name, executions in local._maximum : "${name} ${executions}"])] :
      "The queues may need ${local._all_at_once} executions at once (${models}), but this account has ${local.quotas.concurrency}. Calls beyond that are throttled, which uses up the retries of their inputs. Lower concurrency.maximum, or ${local._request}."
      if local._is_new && local._all_at_once > local.quotas.concurrency
    ],
  )
}
