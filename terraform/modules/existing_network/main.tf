# An existing network. The plan reports what is wrong with it: in an apply, EFS would refuse a second mount target in a zone,
# and functions without a route to S3 would time out.

data "aws_subnet" "given" {
  for_each = toset(var.network.subnet_ids)

  id = each.value
}

data "aws_security_group" "functions" {
  id = var.network.security_group_id
}

# A subnet that is not associated with a route table uses the main one.
data "aws_route_tables" "main" {
  vpc_id = var.network.vpc_id

  filter {
    name   = "association.main"
    values = ["true"]
  }
}

data "aws_route_tables" "associated" {
  for_each = toset(var.network.subnet_ids)

  vpc_id = var.network.vpc_id

  filter {
    name   = "association.subnet-id"
    values = [each.value]
  }
}

# Route tables by the targets of their routes. The provider's aws_route_table omits the routes of gateway endpoints.
data "aws_route_tables" "leading" {
  for_each = {
    internet = { name = "route.gateway-id", value = "igw-*" }
    endpoint = { name = "route.gateway-id", value = "vpce-*" }
    anywhere = { name = "route.destination-cidr-block", value = "0.0.0.0/0" }
  }

  vpc_id = var.network.vpc_id

  filter {
    name   = each.value.name
    values = [each.value.value]
  }
}

# S3 may have an interface endpoint, which needs no route. The interfaces do not show which service an endpoint is for.
data "aws_network_interfaces" "endpoints" {
  filter {
    name   = "vpc-id"
    values = [var.network.vpc_id]
  }

  filter {
    name   = "interface-type"
    values = ["vpc_endpoint"]
  }
}

locals {
  _tables = { for subnet, tables in data.aws_route_tables.associated : subnet => concat(tolist(tables.ids), tolist(data.aws_route_tables.main.ids))[0] }
  _zones  = { for subnet, it in data.aws_subnet.given : it.availability_zone => subnet... }

  problems = concat(
    [
      for subnet, it in data.aws_subnet.given : "${subnet} is in ${it.vpc_id}, not in ${var.network.vpc_id}"
      if it.vpc_id != var.network.vpc_id
    ],
    [
      for group in [data.aws_security_group.functions] : "${group.id} is in ${group.vpc_id}, not in ${var.network.vpc_id}"
      if group.vpc_id != var.network.vpc_id
    ],
    [
      for zone, subnets in local._zones : "${join(" and ", subnets)} are both in ${zone}: a file system has one mount target per zone, so choose one subnet per zone"
      if length(subnets) > 1
    ],
    [
      for subnet, table in local._tables : "${subnet} is public: its route table ${table} leads to an internet gateway, which functions cannot use; choose private subnets"
      if contains(data.aws_route_tables.leading["internet"].ids, table)
    ],
    [
      for subnet, table in local._tables : "${subnet} has no route to S3: its route table ${table} has neither a gateway endpoint's route nor one to 0.0.0.0/0, and the network has no interface endpoint; associate S3's gateway endpoint, com.amazonaws.${var.region}.s3, with the table"
      if !contains(data.aws_route_tables.leading["internet"].ids, table) && !contains(data.aws_route_tables.leading["endpoint"].ids, table) &&
      !contains(data.aws_route_tables.leading["anywhere"].ids, table) && length(data.aws_network_interfaces.endpoints.ids) == 0
    ],
  )
}
