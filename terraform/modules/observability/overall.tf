# One alarm that fires while any alarm of any model fires. It notifies nobody, because the model's alarm does. A rule names at
# most 100 alarms: beyond that, each group of models has such an alarm. A model's name decides its group, so that a new model
# changes only one of them.

locals {
  _overall_name = "${var.deployment.name}/any"

  _alarms = { for model, alarms in var.alarms : model => alarms if length(alarms) > 0 }
  _places = { for model in keys(local._alarms) : model => parseint(substr(sha256(model), 0, 8), 16) }

  # Models by group, for each number of groups. If too many names fall into one group, the last resort is grouping by order.
  _groupings = concat(
    [for number in [1, 2, 4, 8, 16, 32, 64] : { for model, place in local._places : format("%02d", place % number) => model... }],
    [{ for index, model in keys(local._alarms) : format("%02d", index % 100) => model... }],
  )
  _that_fit = [
    for groups in local._groupings : groups
    if alltrue([for models in values(groups) : sum([for model in models : length(local._alarms[model])]) <= 100])
  ]
  _groups = {
    for group, models in concat(local._that_fit, slice(local._groupings, 7, 8))[0] : group => flatten([for model in models : local._alarms[model]])
  }
}

# These need create_before_destroy if another alarm names them. Terraform would then apply it to all their dependencies,
# including the models' functions, whose names must be unique. So no alarm names them.
resource "aws_cloudwatch_composite_alarm" "overall" {
  for_each = local._groups

  alarm_name        = length(local._groups) == 1 ? local._overall_name : "${local._overall_name}-${each.key}"
  alarm_description = "Something is wrong: an alarm of a model is firing. `modelctl status` shows which."
  alarm_rule        = join(" OR ", [for alarm in each.value : "ALARM(\"${alarm}\")"])
}
