locals {
  bucket_names = {
    for use in ["inputs", "results", "artifacts"] :
    use => "${local.deployment.name}-${use}-${local.deployment.account_id}-${local.deployment.region}"
  }
  bucket_arns = { for use, name in local.bucket_names : use => "${local.deployment.arns.s3}${name}" }

  # Null: never.
  expiry_days = merge({ inputs = null, replaced_inputs = 30, results = null }, { for objects, days in var.expiry_days : objects => days if days != null })

  # The same names, for resources that must wait until the buckets exist.
  buckets = { for use, bucket in aws_s3_bucket.data : use => bucket.bucket }
}

resource "aws_s3_bucket" "data" {
  # checkov:skip=CKV_AWS_18:access logs need another bucket of the account; add aws_s3_bucket_logging if there is one
  # checkov:skip=CKV2_AWS_62:the inputs bucket notifies the queues (modules/routing); the results bucket notifies EventBridge if announce_results is true
  # checkov:skip=CKV_AWS_144:results can be computed again from the inputs, and artifacts uploaded again from the registry's folder
  # checkov:skip=CKV_AWS_21:inputs are versioned; keys in artifacts name their content, and a result is replaced as a whole
  # checkov:skip=CKV_AWS_145:SSE-S3: with a KMS key, S3 could not send events nor functions read without grants on it
  for_each = local.bucket_names

  bucket        = each.value
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "data" {
  for_each = aws_s3_bucket.data

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "data" {
  for_each = aws_s3_bucket.data

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  for_each = aws_s3_bucket.data

  bucket = each.value.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_policy" "data" {
  for_each = aws_s3_bucket.data

  bucket = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arns[each.key], "${local.bucket_arns[each.key]}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
      [
        for protected in [local.deletion_protection] : {
          Sid       = "DeletionProtection"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:DeleteObject"
          Resource  = "${local.bucket_arns[each.key]}/${protected}/*"
        } if each.key == "artifacts" && !var.force_destroy
      ],
    )
  })

  # S3 answers with a conflict if a bucket's access is changed twice at the same time.
  depends_on = [aws_s3_bucket_public_access_block.data]
}

# A result names the version of the input that it was made from.
resource "aws_s3_bucket_versioning" "inputs" {
  bucket = aws_s3_bucket.data["inputs"].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  for_each = aws_s3_bucket.data

  bucket = each.value.id

  rule {
    id     = "abandoned-uploads"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.key == "inputs" ? [local.expiry_days.replaced_inputs] : []

    content {
      id     = "replaced-inputs"
      status = "Enabled"
      filter {}

      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }

      # What is left of a deleted input once its versions are gone.
      expiration {
        expired_object_delete_marker = true
      }
    }
  }

  dynamic "rule" {
    for_each = [for use, days in { inputs = local.expiry_days.inputs, results = local.expiry_days.results } : days if use == each.key && days != null]

    content {
      id     = "expiry"
      status = "Enabled"
      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  # Which rules a bucket may have depends on whether it is versioned.
  depends_on = [aws_s3_bucket_versioning.inputs]
}

# S3 announces results itself, because the functions reach nothing but S3. terraform/examples/consumer has a rule for
# programs that wait for them.
resource "aws_s3_bucket_notification" "results" {
  count = var.announce_results ? 1 : 0

  bucket      = local.buckets.results
  eventbridge = true
}
