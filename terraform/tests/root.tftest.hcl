# The whole platform, from a registry to the outputs that programs read.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1", name = "eu-central-1" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b"] }
  }
  mock_data "aws_servicequotas_service_quota" {
    defaults = { value = 1000 }
  }
  mock_resource "aws_efs_file_system" {
    defaults = { arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1" }
  }
  mock_resource "aws_efs_access_point" {
    defaults = { arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-00000000000000001" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:modelyard-digits" }
  }
  mock_resource "aws_lambda_layer_version" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:layer:modelyard-litert-x86_64:1" }
  }
}

# What the packages must be is tested with the module packages.
override_module {
  target = module.packages
  outputs = {
    lambda_runtime = "python3.13"
    code = {
      inference    = { path = "tests/fixtures/inference.zip", sha256 = "1", code_sha256 = "c1=" }
      weights_sync = { path = "tests/fixtures/weights_sync.zip", sha256 = "2", code_sha256 = "c2=" }
    }
    layers = {
      litert-x86_64 = { path = "tests/fixtures/litert.zip", sha256 = "3", runtime = "litert", architecture = "x86_64" }
    }
    models = {
      digits = { image_uri = null, code = "inference", layer = "litert-x86_64" }
      wine   = { image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:1", code = null, layer = null }
    }
    problems = []
  }
}

variables {
  registry_file = "tests/fixtures/model_registry.yaml"
}

run "programs_find_everything_in_one_output" {
  command = plan

  assert {
    condition = output.deployment.buckets == {
      inputs    = "modelyard-inputs-123456789012-eu-central-1"
      results   = "modelyard-results-123456789012-eu-central-1"
      artifacts = "modelyard-artifacts-123456789012-eu-central-1"
    }
    error_message = "The buckets are ${jsonencode(output.deployment.buckets)}."
  }
  assert {
    condition = jsonencode({ for field, value in output.deployment.models.digits : field => value if !contains(["digest", "queue_url", "dead_letter_queue_url"], field) }) == jsonencode({
      version              = "1"
      runtime              = "litert"
      description          = ""
      prefixes             = ["digits/", "scans/"]
      suffixes             = [".png", ".json"]
      format               = "image"
      memory_mb            = 1024
      timeout_s            = 60
      visibility_timeout_s = 361
      retries              = 5
      function_name        = "modelyard-digits"
      alias                = "live"
      log_group            = "/aws/lambda/modelyard-digits"
    })
    error_message = "digits is ${jsonencode(output.deployment.models.digits)}."
  }
  assert {
    condition     = output.deployment.models.digits.digest == sha256("${filesha256("tests/fixtures/models/digits/labels.txt")}  labels.txt\n${filesha256("tests/fixtures/models/digits/model.tflite")}  model.tflite\n")
    error_message = "The digest of digits is ${output.deployment.models.digits.digest}."
  }
  assert {
    condition     = jsonencode([output.deployment.models.wine.prefixes, output.deployment.models.wine.suffixes]) == jsonencode([["wine/"], []])
    error_message = "wine takes ${jsonencode([output.deployment.models.wine.prefixes, output.deployment.models.wine.suffixes])}."
  }
}

run "buckets_are_private_encrypted_and_kept_by_default" {
  command = plan

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.data : bucket.force_destroy == false])
    error_message = "Destroying must not delete what lies in the buckets, unless asked for."
  }
  assert {
    condition     = alltrue([for use, bucket in aws_s3_bucket.data : try(aws_s3_bucket_public_access_block.data[use].block_public_policy && aws_s3_bucket_public_access_block.data[use].restrict_public_buckets, false)])
    error_message = "Every bucket must block public access."
  }
  assert {
    condition = alltrue([
      for use, bucket in aws_s3_bucket.data : try(jsondecode(aws_s3_bucket_policy.data[use].policy).Statement[0] == {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = ["arn:aws:s3:::${bucket.bucket}", "arn:aws:s3:::${bucket.bucket}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }, false)
    ])
    error_message = "Every bucket must refuse what does not come by TLS."
  }
  assert {
    condition     = toset(keys(aws_s3_bucket_server_side_encryption_configuration.data)) == toset(keys(aws_s3_bucket.data))
    error_message = "Every bucket must be encrypted."
  }
  assert {
    condition     = aws_s3_bucket_versioning.inputs.versioning_configuration[0].status == "Enabled"
    error_message = "Inputs must be versioned: a result names the version that it was made from."
  }
  assert {
    condition     = length([for rule in aws_s3_bucket_lifecycle_configuration.data["results"].rule : rule if rule.id == "expiry"]) == 0
    error_message = "Results must not expire, unless asked for."
  }
}

run "what_destroying_begins_with_is_not_deleted" {
  command = plan

  assert {
    condition = { for use, policy in aws_s3_bucket_policy.data : use => jsonencode(slice(jsondecode(policy.policy).Statement, 1, length(jsondecode(policy.policy).Statement))) } == {
      inputs  = "[]"
      results = "[]"
      artifacts = jsonencode([{
        Sid       = "DeletionProtection"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:DeleteObject"
        Resource  = "arn:aws:s3:::${aws_s3_bucket.data["artifacts"].bucket}/deletion-protection/*"
      }])
    }
    error_message = "Only what destroying begins with is protected, and only in the artifacts bucket."
  }
  assert {
    condition     = startswith(aws_s3_object.deletion_protection.key, "deletion-protection/")
    error_message = "The bucket's policy does not protect ${aws_s3_object.deletion_protection.key}."
  }
}

run "with_force_destroy_it_is" {
  command = plan

  variables {
    force_destroy = true
  }

  assert {
    condition     = alltrue([for policy in aws_s3_bucket_policy.data : length(jsondecode(policy.policy).Statement) == 1])
    error_message = "Nothing may be protected from deletion."
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.data : bucket.force_destroy])
    error_message = "Every bucket must go with its objects."
  }
}

run "what_expires_is_the_users_choice" {
  command = plan

  variables {
    expiry_days = { inputs = 7, results = 90 }
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.data["results"].rule : rule.expiration[0].days if rule.id == "expiry"] == [90]
    error_message = "Results expire after 90 days."
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.data["inputs"].rule : rule.expiration[0].days if rule.id == "expiry"] == [7]
    error_message = "Inputs expire after 7 days."
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.data["inputs"].rule : rule.noncurrent_version_expiration[0].noncurrent_days if rule.id == "replaced-inputs"] == [30]
    error_message = "Replaced inputs expire after 30 days unless something else is asked for."
  }
  assert {
    condition     = length([for rule in aws_s3_bucket_lifecycle_configuration.data["artifacts"].rule : rule if rule.id == "expiry"]) == 0
    error_message = "Artifacts never expire: functions are made from them."
  }
}

run "code_and_layers_are_uploaded_under_names_of_their_content" {
  command = plan

  assert {
    condition     = aws_s3_object.code["inference"].key == "code/inference.zip" && aws_s3_object.layer["litert-x86_64"].key == "layers/litert-x86_64/litert.zip"
    error_message = "Uploaded: ${aws_s3_object.code["inference"].key}, ${aws_s3_object.layer["litert-x86_64"].key}."
  }
}

run "an_operator_takes_no_input_from_a_queue_that_is_named_like_one_of_dead_letters" {
  command = plan

  variables {
    registry_file = "tests/fixtures/named_like_dead_letters.yaml"
  }

  override_module {
    target = module.packages
    outputs = {
      lambda_runtime = "python3.13"
      code = {
        inference    = { path = "tests/fixtures/inference.zip", sha256 = "1", code_sha256 = "c1=" }
        weights_sync = { path = "tests/fixtures/weights_sync.zip", sha256 = "2", code_sha256 = "c2=" }
      }
      layers   = {}
      models   = { digits-dlq = { image_uri = null, code = "inference", layer = null } }
      problems = []
    }
  }

  assert {
    condition = [for statement in jsondecode(output.operator_policy).Statement : [statement.Action, statement.Resource] if statement.Effect == "Deny"] == [
      [["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"], ["arn:aws:sqs:eu-central-1:123456789012:modelyard-digits-dlq"]]
    ]
    error_message = "The policy is ${output.operator_policy}."
  }
}

run "an_operator_puts_no_message_into_a_queue_of_dead_letters" {
  command = plan

  assert {
    condition = [for statement in jsondecode(output.operator_policy).Statement : [statement.Action, statement.Resource] if statement.Effect == "Deny"] == [
      [["sqs:SendMessage"], "arn:aws:sqs:eu-central-1:123456789012:modelyard-*-dlq"]
    ]
    error_message = "The policy is ${output.operator_policy}."
  }
}

run "an_existing_network_is_used_as_it_is" {
  command   = plan
  state_key = "existing_network"

  variables {
    network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  }

  # What a network must be is tested with EC2's answers, in tests/plan/test_network.py.
  override_module {
    target  = module.existing_network
    outputs = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  }

  assert {
    condition     = length(module.network) == 0
    error_message = "No network may be made beside the one that was given."
  }
}

run "a_network_of_one_subnet_is_refused" {
  command   = plan
  state_key = "existing_network"

  variables {
    network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"], security_group_id = "sg-1" }
  }

  override_module {
    target  = module.existing_network
    outputs = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"], security_group_id = "sg-1" }
  }

  expect_failures = [var.network]
}

run "a_network_given_by_names_is_refused" {
  command   = plan
  state_key = "existing_network"

  variables {
    network = { vpc_id = "main", subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  }

  override_module {
    target  = module.existing_network
    outputs = { vpc_id = "main", subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  }

  expect_failures = [var.network]
}

run "a_state_of_aws_is_not_applied_to_the_local_stack" {
  command = plan

  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "000000000000" }
  }

  expect_failures = [data.aws_caller_identity.current]
}

run "a_name_that_makes_no_bucket_name_is_refused" {
  command = plan

  variables {
    name = "Model_Yard"
  }

  expect_failures = [var.name]
}

run "quotas_that_are_not_read_are_assumed_and_that_is_said" {
  command = plan

  variables {
    read_quotas = false
  }

  expect_failures = [check.quotas]

  assert {
    condition     = length(data.aws_servicequotas_service_quota.account) == 0 && local.quotas.concurrency == null
    error_message = "Nothing may be read where reading is refused."
  }
}

run "what_is_given_of_quotas_is_not_read" {
  command = plan

  variables {
    quotas = { concurrency = 2000, memory_mb = 3008 }
  }

  assert {
    condition     = length(data.aws_servicequotas_service_quota.account) == 0 && local.quotas == { concurrency = 2000, memory_mb = 3008, rules = null }
    error_message = "The quotas are ${jsonencode(local.quotas)}."
  }
}

run "a_deployment_may_begin_with_eventbridge" {
  command = plan

  variables {
    event_way = "eventbridge"
  }

  assert {
    condition     = output.deployment.event_way == "eventbridge" && local.quotas.rules == 1000
    error_message = "With EventBridge, the account's quota of rules counts: ${jsonencode(local.quotas)}."
  }
}

run "a_misspelt_way_is_refused" {
  command = plan

  variables {
    event_way = "event_bridge"
  }

  expect_failures = [var.event_way]
}

run "a_quota_that_is_no_whole_number_is_refused" {
  command = plan

  variables {
    quotas = { concurrency = 0.5 }
  }

  expect_failures = [var.quotas]
}

run "a_misspelt_quota_is_refused" {
  command = plan

  variables {
    quotas = { memory = 3008 }
  }

  expect_failures = [var.quotas]
}

run "a_misspelt_name_of_objects_that_expire_is_refused" {
  command = plan

  variables {
    expiry_days = { result = 90 }
  }

  expect_failures = [var.expiry_days]
}

run "a_time_for_which_cloudwatch_keeps_no_logs_is_refused" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}

run "a_topic_that_is_none_is_refused" {
  command = plan

  variables {
    alarm_topic_arn = "on-call"
  }

  expect_failures = [var.alarm_topic_arn]
}

run "a_name_that_could_be_taken_for_another_deployments_is_refused" {
  command = plan

  variables {
    name = "yard-digits"
  }

  expect_failures = [var.name]
}
