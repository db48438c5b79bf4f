# Where the deployment of this state is, and whether the deployment of this name is that of this state.

locals {
  tag = "ModelyardHome"
}

# Kept from the first apply on. Unlike an id or an output, what it keeps is known as soon as it is planned.
resource "terraform_data" "this" {
  input = {
    account_id = var.account_id
    region     = var.region
    made       = plantimestamp()
  }

  lifecycle {
    ignore_changes = [input]
  }
}

# Roles have one namespace per account, whatever the region, so one of them says whose the name is. A data source of that
# one role would fail where there is none.
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
  # Without a mark, the role was made before there were any, and its state marks it.
  marks  = [for role in values(data.aws_iam_role.marked) : role.tags[local.tag] if can(role.tags[local.tag])]
  others = [for mark in local.marks : mark if mark != local.mark]

  here  = "the account ${var.account_id} and the region ${var.region}"
  there = "the account ${local.home.account_id} and the region ${local.home.region}"

  away = <<-EOT
    The deployment of this state is in ${local.there}, but this shell is set to ${local.here}, where nothing of it exists. Set AWS_PROFILE and AWS_REGION to where the deployment is. For another deployment, use a state of its own (terraform workspace new), and in the same account another name.
  EOT

  taken = <<-EOT
    This account has a deployment called ${var.name} that is not the one of this state: it was made in ${join(", ", [for mark in local.others : replace(mark, " ", " on ")])}.
    To change or destroy it, use its own state: the checkout, backend and workspace that it was applied with. If that state is lost, restore a copy: an earlier version of the object in S3, or terraform.tfstate.backup beside the file. For another deployment, choose another name.
    Only if no copy of the state is left, let this one take the deployment over: run the following, and import all that it consists of (`import` blocks) before you apply.
      aws iam untag-role --role-name ${var.role_name} --tag-keys ${local.tag}
  EOT

  at_home = local.home.account_id == var.account_id && local.home.region == var.region
  problem = local.at_home ? length(local.others) == 0 ? "" : local.taken : local.away
}
