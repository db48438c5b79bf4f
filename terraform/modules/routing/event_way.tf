# The way of announcing uploads changes only through both. S3 takes minutes to apply a change: uploads between the end of
# one way and the start of the other would not be announced.

# When this state first recorded its ways: together with the first one, even if an apply before that was interrupted.
resource "terraform_data" "recorded" {
  input = { planned = plantimestamp() }

  lifecycle {
    ignore_changes = [input]
  }

  depends_on = [aws_s3_bucket_notification.inputs]
}

locals {
  # A way that is as old as this record had no predecessor, unless the deployment is older than the record: then it used the
  # notification.
  first = {
    notification = terraform_data.recorded.input.planned
    eventbridge  = var.began_with == "notification" ? "" : terraform_data.recorded.input.planned
  }
}

# Since when each way is in use.
resource "terraform_data" "way" {
  for_each = toset(local.ways)

  # As in modules/home: the value of the first apply stays, and is known as soon as it is planned. Only `applied` is known
  # later, once the notification is set.
  input = { planned = plantimestamp(), applied = timestamp() }

  lifecycle {
    ignore_changes = [input]

    # `terraform destroy` only warns about these.
    postcondition {
      condition     = length(local.ways) == 2 || self.input.planned != plantimestamp() || self.input.planned == local.first[each.key]
      error_message = <<-EOT
        event_way cannot change from "${each.key == "eventbridge" ? "notification" : "eventbridge"}" to "${each.key}" in one apply: S3 takes up to five minutes to apply the change, and uploads during that time might not be announced at all.
        First apply event_way = "both", with a registry that fits both ways. At least ${var.minutes_to_wait} minutes later, apply event_way = "${each.key}".
      EOT
    }

    postcondition {
      condition = length(local.ways) == 2 || self.input.planned == plantimestamp() || self.input.planned == local.first[each.key] ? true : (
        timecmp(timeadd(self.input.applied, "${var.minutes_to_wait}m"), plantimestamp()) <= 0
      )
      error_message = <<-EOT
        It is too early for event_way = "${each.key}": "both" was applied at ${self.input.applied}, and S3 takes up to five minutes to apply a change. Keep event_way = "both" for ${var.minutes_to_wait} minutes, then apply again.
      EOT
    }
  }

  depends_on = [aws_s3_bucket_notification.inputs]
}
