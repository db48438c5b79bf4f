# A network without internet access: two private subnets whose functions reach S3 through its gateway endpoint (free, while
# a NAT gateway costs per hour and per gigabyte) and nothing else.

data "aws_availability_zones" "available" {
  # checkov:skip=CKV_AWS_394:only the first apply uses the first two names; the filter and the exclusion limit what a zone can be
  state = "available"
  # No local zones, and not the one zone of us-east-1 that supports neither functions nor file systems.
  exclude_zone_ids = ["use1-az3"]

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  # Nothing is connected to this network, so its address range cannot conflict with others.
  cidr  = "10.0.0.0/16"
  zones = sort(data.aws_availability_zones.available.names)
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11:the S3 endpoint is the only way in or out, and the functions' own logs show its traffic
  cidr_block           = local.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.deployment.name }
}

# The default group that AWS creates with each network allows traffic between its members and to the internet: emptied.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.deployment.name}-unused" }
}

resource "aws_subnet" "private" {
  count = 2

  vpc_id            = aws_vpc.this.id
  availability_zone = element(local.zones, count.index)
  cidr_block        = cidrsubnet(local.cidr, 4, count.index)

  tags = { Name = "${var.deployment.name}-private-${element(local.zones, count.index)}" }

  lifecycle {
    # A subnet stays in the zone that it was created in: another zone would replace it, with its mount target and the network
    # interfaces of all functions. Each plan looks up the zones; new ones may appear, and impaired ones disappear.
    ignore_changes = [availability_zone, tags["Name"]]
  }

  # Lambda takes up to 20 minutes to release its network interfaces.
  timeouts {
    delete = "45m"
  }

  depends_on = [var.role_arn] # so that the role is destroyed after them
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.deployment.name}-private" }
}

resource "aws_route_table_association" "private" {
  count = length(aws_subnet.private)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.deployment.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Read"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource  = [for arn in values(var.buckets) : "${arn}/*"]
      },
      {
        Sid       = "Write"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = "${var.buckets.results}/*"
      },
      {
        # This allows no role to list, because no role's own policy does. S3 checks these permissions before it says that
        # an input is missing; if the endpoint's policy denies them, the 403 may give no reason.
        Sid       = "Missing"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:ListBucket", "s3:ListBucketVersions"]
        Resource  = var.buckets.inputs
      },
    ]
  })

  tags = { Name = "${var.deployment.name}-s3" }
}

resource "aws_security_group" "functions" {
  # checkov:skip=CKV2_AWS_5:every function is attached to it, in other modules
  name        = "${var.deployment.name}-functions"
  description = "Functions of ${var.deployment.name}: out to S3 and to the file system, nothing in"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.deployment.name}-functions" }

  timeouts {
    delete = "45m"
  }

  depends_on = [var.role_arn]
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  security_group_id = aws_security_group.functions.id
  description       = "HTTPS to S3"
  prefix_list_id    = aws_vpc_endpoint.s3.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
