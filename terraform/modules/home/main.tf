# Records where this state's deployment is, and checks that the deployment of this name belongs to this state.

locals {
  tag = "ModelyardHome"
}

# Recorded by the first apply. Unlike an id or an output, the input is known as soon as it is planned.
resource "terraform_data" "this" {
  input = {
    account_id = var.account_id
    region     = var.region
    made       = plantimestamp()
    event_way  = var.event_way
  }

  lifecycle {
    ignore_changes = [input]
  }
}

# Roles have one namespace per account, across all regions, so a tag on one of them shows which state the name belongs to. A
# data source for only that role would fail if the role does not exist.
data "aws_iam_roles" "marked" {
  name_regex = "^${var.role_name}$"
}

data "aws_iam_role" "marked" {
  for_each = data.aws_iam_roles.marked.names

  name = each.value
}

locals {
  home = terraform_data.this.input
  mark = "${local.home.region} ${local.home.made}"
  # A role without a mark was created before marks were introduced; its own state will mark it.
  marks  = [for role in values(data.aws_iam_role.marked) : role.tags[local.tag] if can(role.tags[local.tag])]
  others = [for mark in local.marks : mark if mark != local.mark]

  here  = "the account ${var.account_id} and the region ${var.region}"
  there = "the account ${local.home.account_id} and the region ${local.home.region}"

  away = <<-EOT
    The deployment of this state is in ${local.there}, but this shell is set to ${local.here}, where none of it exists. Set AWS_PROFILE and AWS_REGION to where the deployment is. To create another deployment, use a separate state (terraform workspace new) and, in the same account, another name.
  EOT

  taken = <<-EOT
    This account has a deployment called ${var.name} that belongs to another state: it was created in ${join(", ", [for mark in local.others : replace(mark, " ", " on ")])}.
    To change or destroy it, use its own state: the checkout, backend and workspace that it was applied with. If that state is lost, restore a copy: an earlier version of the object in S3, or terraform.tfstate.backup next to the file. For a separate deployment, choose another name.
    Only if no copy of that state is left, let this state take over the deployment: run the following command, and import all its resources (`import` blocks) before you apply.
      aws iam untag-role --role-name ${var.role_name} --tag-keys ${local.tag}
  EOT

  at_home = local.home.account_id == var.account_id && local.home.region == var.region
  problem = local.at_home ? length(local.others) == 0 ? "" : local.taken : local.away
}
