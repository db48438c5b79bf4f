# The account's quotas in this region. The module registry finds the models that exceed them.

locals {
  # Service Quotas does not have memory_mb.
  readable_quotas = merge(
    { concurrency = { service = "lambda", code = "L-B99A9384" } },
    { for way in [var.event_way] : "rules" => { service = "events", code = "L-244521F2" } if way != "notification" },
  )
}

data "aws_servicequotas_service_quota" "account" {
  # The key is part of the address in an error, so it tells people who may not read quotas what to do.
  for_each = { for quota, it in local.readable_quotas : "${quota}, unless read_quotas = false" => it if var.read_quotas && !can(var.quotas[quota]) }

  service_code = each.value.service
  quota_code   = each.value.code
}

locals {
  quotas = merge(
    { concurrency = null, memory_mb = null, rules = null },
    { for key, quota in data.aws_servicequotas_service_quota.account : split(",", key)[0] => quota.value },
    var.quotas,
  )
}

check "quotas" {
  assert {
    condition     = length(module.registry.quota_warnings) == 0
    error_message = join("\n", module.registry.quota_warnings)
  }
}
