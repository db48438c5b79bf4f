# One model: what its function runs from and is told, and what its role may do.

mock_provider "aws" {
  mock_resource "aws_efs_access_point" {
    defaults = { arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-00000000000000001" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:yard-digits", version = "7" }
  }
  # What was published is what the variables below ask for.
  mock_data "aws_lambda_function" {
    defaults = {
      version           = "7"
      architectures     = ["x86_64"]
      code_sha256       = "c1="
      environment       = [{ variables = { GREETING = "hello", MODELYARD_MODEL = "{\"contract\":1}", MODELYARD_WEIGHTS = "/mnt/model", MODELYARD_RESULTS = "yard-results" } }]
      ephemeral_storage = [{ size = 512 }]
      layers            = ["arn:aws:lambda:eu-central-1:123456789012:layer:yard-litert-x86_64:1"]
      memory_size       = 1024
      timeout           = 60
      vpc_config        = [{ subnet_ids = ["subnet-1", "subnet-2"] }]
    }
  }
}

variables {
  deployment         = { arns = { iam = "arn:aws:iam::123456789012:", lambda = "arn:aws:lambda:eu-central-1:123456789012:", logs = "arn:aws:logs:eu-central-1:123456789012:", s3 = "arn:aws:s3:::", sqs = "arn:aws:sqs:eu-central-1:123456789012:" } }
  name               = "digits"
  buckets            = { inputs = "yard-inputs", results = "yard-results", artifacts = "yard-artifacts" }
  queue_arn          = "arn:aws:sqs:eu-central-1:123456789012:yard-digits"
  file_system        = { id = "fs-1", arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1", writer = 10000, reader = 10001 }
  network            = { subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
  weights_sync       = "yard--weights-sync"
  alarm_topic_arn    = "arn:aws:sns:eu-central-1:123456789012:yard-alarms"
  log_retention_days = 30
  # Default of the root module.
  notify_cleared_alarms = false
  model = {
    description = "Digits"
    digest      = "d1"
    names = {
      function          = "yard-digits"
      queue             = "yard-digits"
      dead_letter_queue = "yard-digits-dlq"
      metric_dimensions = { Model = "digits", Variant = "stable" }
    }
    files        = { "model.tflite" = { source = "tests/fixtures/models/digits/model.tflite", sha256 = "f1" } }
    route        = { prefixes = ["digits/", "scans/"], suffixes = [".png"] }
    variables    = { GREETING = "hello", MODELYARD_MODEL = "{\"contract\":1}", MODELYARD_WEIGHTS = "/mnt/model" }
    check        = "{\"modelyard_check\":{\"samples\":[]}}"
    memory_mb    = 1024
    timeout_s    = 60
    ephemeral_mb = 512
    architecture = "x86_64"
    batch        = { size = 10, window_s = 1 }
    concurrency  = { maximum = 10 }
    alarms       = { dead_letters = 1, queue_age_s = 1083, input_error_share = 0.5 }
    tags         = { team = "vision" }
  }
  package = {
    lambda_runtime = "python3.13"
    s3_bucket      = "yard-artifacts"
    s3_key         = "code/inference-1.zip"
    code_sha256    = "c1="
    layers         = ["arn:aws:lambda:eu-central-1:123456789012:layer:yard-litert-x86_64:1"]
    publish_again  = false
  }
}

run "a_model" {
  module {
    source = "./modules/model"
  }

  assert {
    condition     = aws_lambda_function.inference.s3_bucket == "yard-artifacts" && aws_lambda_function.inference.s3_key == "code/inference-1.zip" && aws_lambda_function.inference.filename == null
    error_message = "The function's code must come from S3: from a file, functions are made one after the other."
  }
  assert {
    condition = aws_lambda_function.inference.environment[0].variables == tomap({
      GREETING          = "hello"
      MODELYARD_MODEL   = "{\"contract\":1}"
      MODELYARD_WEIGHTS = "/mnt/model"
      MODELYARD_RESULTS = "yard-results"
    })
    error_message = "The function is told ${jsonencode(aws_lambda_function.inference.environment[0].variables)}."
  }
  assert {
    condition     = aws_lambda_function.inference.file_system_config[0].local_mount_path == "/mnt/model"
    error_message = "The weights must be where the function is told that they are, not at ${aws_lambda_function.inference.file_system_config[0].local_mount_path}."
  }
  assert {
    condition     = length(aws_lambda_function.inference.dead_letter_config) == 0 && length(aws_lambda_function.inference.tracing_config) == 0
    error_message = "Failures are the queue's business, and nothing is traced."
  }
  assert {
    condition     = aws_lambda_alias.live.name == "live" && aws_lambda_alias.live.function_version == "7"
    error_message = "The alias live must point to the version that was published, not to ${aws_lambda_alias.live.function_version}."
  }
  assert {
    condition = (
      aws_lambda_invocation.check.qualifier == "7" && aws_lambda_invocation.check.lifecycle_scope == "CREATE_ONLY" &&
      nonsensitive(aws_lambda_invocation.check.input) == "{\"modelyard_check\":{\"samples\":[]}}"
    )
    error_message = "The published version itself must be checked, once, and not what the alias points to."
  }
  assert {
    condition = (
      aws_lambda_event_source_mapping.queue.function_name == "arn:aws:lambda:eu-central-1:123456789012:function:yard-digits:live" &&
      aws_lambda_event_source_mapping.queue.function_response_types == toset(["ReportBatchItemFailures"]) &&
      aws_lambda_event_source_mapping.queue.scaling_config[0].maximum_concurrency == 10
    )
    error_message = "The queue must feed the alias live, with partial batch failures and a concurrency ceiling."
  }
  assert {
    condition = (
      aws_efs_access_point.reader.posix_user[0].uid == 10001 &&
      aws_efs_access_point.reader.root_directory[0].path == "/models/digits" &&
      aws_efs_access_point.reader.root_directory[0].creation_info[0].owner_uid == 10000 &&
      aws_efs_access_point.reader.root_directory[0].creation_info[0].permissions == "0755"
    )
    error_message = "A model reads its own folder only, which belongs to the writer."
  }
}

# Where the function itself is as the registry asks for, a plan finds it; else the apply that has updated the function.
run "a_version_with_other_code_does_not_go_live" {
  command = plan

  module {
    source = "./modules/model"
  }

  variables {
    package = {
      lambda_runtime = "python3.13"
      s3_bucket      = "yard-artifacts"
      s3_key         = "code/inference-1.zip"
      code_sha256    = "c2="
      layers         = ["arn:aws:lambda:eu-central-1:123456789012:layer:yard-litert-x86_64:1"]
      publish_again  = false
    }
  }

  expect_failures = [aws_lambda_invocation.check]
}

run "a_version_with_another_layer_does_not_go_live" {
  module {
    source = "./modules/model"
  }

  variables {
    package = {
      lambda_runtime = "python3.13"
      s3_bucket      = "yard-artifacts"
      s3_key         = "code/inference-1.zip"
      code_sha256    = "c1="
      layers         = ["arn:aws:lambda:eu-central-1:123456789012:layer:yard-litert-x86_64:2"]
      publish_again  = false
    }
  }

  expect_failures = [aws_lambda_invocation.check]
}

run "a_version_with_other_variables_does_not_go_live" {
  module {
    source = "./modules/model"
  }

  variables {
    buckets = { inputs = "yard-inputs", results = "yard-other-results", artifacts = "yard-artifacts" }
  }

  expect_failures = [aws_lambda_invocation.check]
}

run "a_version_in_other_subnets_does_not_go_live" {
  module {
    source = "./modules/model"
  }

  variables {
    network = { subnet_ids = ["subnet-1", "subnet-3"], security_group_id = "sg-1" }
  }

  expect_failures = [aws_lambda_invocation.check]
}

run "a_version_of_another_image_does_not_go_live" {
  module {
    source = "./modules/model"
  }

  variables {
    package = {
      lambda_runtime = "python3.13"
      image_uri      = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:2"
      s3_bucket      = "yard-artifacts"
      layers         = []
      publish_again  = false
    }
  }

  expect_failures = [aws_lambda_invocation.check]
}

run "the_weights_of_the_digest_are_published" {
  module {
    source = "./modules/model"
  }

  assert {
    condition     = jsondecode(aws_lambda_invocation.weights.input) == { model = "digits", digest = "d1", files = { "model.tflite" = "f1" } }
    error_message = "weights_sync is asked for ${aws_lambda_invocation.weights.input}."
  }
  assert {
    condition     = aws_lambda_invocation.weights.lifecycle_scope == "CREATE_ONLY" && aws_lambda_invocation.weights.triggers.digest == "d1"
    error_message = "A call that failed must be made again, and a new digest must lead to a new call."
  }
  assert {
    condition     = aws_s3_object.artifact["model.tflite"].key == "models/digits/d1/model.tflite"
    error_message = "weights_sync looks for models/digits/d1/model.tflite, but it is under ${aws_s3_object.artifact["model.tflite"].key}."
  }
}

run "the_role_may_do_what_the_function_does_and_nothing_else" {
  module {
    source = "./modules/model"
  }

  assert {
    condition = { for statement in jsondecode(module.role.policy).Statement : statement.Sid => { actions = statement.Action, resources = statement.Resource } } == {
      Network = {
        actions   = ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
        resources = "*"
      }
      NoNetworkForCode = {
        actions   = "ec2:*"
        resources = "*"
      }
      Log = {
        actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        resources = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/yard-digits:*"
      }
      Weights = {
        actions   = ["elasticfilesystem:ClientMount"]
        resources = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1"
      }
      Queue = {
        actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        resources = ["arn:aws:sqs:eu-central-1:123456789012:yard-digits"]
      }
      Inputs = {
        actions   = ["s3:GetObject", "s3:GetObjectVersion"]
        resources = ["arn:aws:s3:::yard-inputs/digits/*.png", "arn:aws:s3:::yard-inputs/scans/*.png"]
      }
      Results = {
        actions   = ["s3:GetObject", "s3:PutObject"]
        resources = ["arn:aws:s3:::yard-results/digits/*"]
      }
    }
    error_message = "The role may do ${module.role.policy}."
  }
  assert {
    condition = [for statement in jsondecode(module.role.policy).Statement : [statement.Sid, statement.Condition] if statement.Effect == "Deny"] == [
      ["NoNetworkForCode", { Null = { "lambda:SourceFunctionArn" = "false" } }]
    ]
    error_message = "Network interfaces are for Lambda and not for the function's code: ${module.role.policy}."
  }
  assert {
    condition = [for statement in jsondecode(module.role.policy).Statement : statement.Condition if statement.Sid == "Weights"] == [{
      StringEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.reader.arn }
    }]
    error_message = "The role must mount through the model's own access point only."
  }
}

run "the_policy_is_no_longer_than_the_registry_counts_on" {
  module {
    source = "./modules/model"
  }

  override_data {
    target = data.aws_lambda_function.published
    values = {
      version           = "7"
      architectures     = ["x86_64"]
      code_sha256       = "c1="
      environment       = [{ variables = { MODELYARD_WEIGHTS = "/mnt/model", MODELYARD_RESULTS = "yard-of-16-chars-results-123456789012-ap-southeast-1" } }]
      ephemeral_storage = [{ size = 512 }]
      layers            = ["arn:aws:lambda:eu-central-1:123456789012:layer:yard-litert-x86_64:1"]
      memory_size       = 1024
      timeout           = 60
      vpc_config        = [{ subnet_ids = ["subnet-1", "subnet-2"] }]
    }
  }

  variables {
    # The longest names there are.
    deployment = { arns = { iam = "arn:aws-us-gov:iam::123456789012:", lambda = "arn:aws-us-gov:lambda:ap-southeast-1:123456789012:", logs = "arn:aws-us-gov:logs:ap-southeast-1:123456789012:", s3 = "arn:aws-us-gov:s3:::", sqs = "arn:aws-us-gov:sqs:ap-southeast-1:123456789012:" } }
    name       = "a-model-whose-name-has-forty-characters-"
    model = {
      description = ""
      digest      = "d1"
      names = {
        function          = "yard-of-16-chars-a-model-whose-name-has-forty-characters-"
        queue             = "yard-of-16-chars-a-model-whose-name-has-forty-characters-"
        dead_letter_queue = "yard-of-16-chars-a-model-whose-name-has-forty-characters--dlq"
        metric_dimensions = { Model = "a-model-whose-name-has-forty-characters-", Variant = "stable" }
      }
      files        = {}
      route        = { prefixes = ["digits/", "scans/"], suffixes = [".png"] }
      variables    = { MODELYARD_WEIGHTS = "/mnt/model" }
      check        = "{}"
      memory_mb    = 1024
      timeout_s    = 60
      ephemeral_mb = 512
      architecture = "x86_64"
      batch        = { size = 10, window_s = 1 }
      concurrency  = { maximum = 10 }
      alarms       = { dead_letters = 1, queue_age_s = 1083, input_error_share = 0.5 }
      tags         = {}
    }
    buckets   = { inputs = "yard-of-16-chars-inputs-123456789012-ap-southeast-1", results = "yard-of-16-chars-results-123456789012-ap-southeast-1", artifacts = "yard-artifacts" }
    queue_arn = "arn:aws-us-gov:sqs:ap-southeast-1:123456789012:yard-of-16-chars-a-model-whose-name-has-forty-characters-"
  }

  assert {
    condition = length(module.role.policy) - sum([
      for resource in flatten([for statement in jsondecode(module.role.policy).Statement : statement.Resource if statement.Sid == "Inputs"]) : length(resource) + 3
    ]) < 1500
    error_message = "Without the keys of the inputs the policy has more characters than modules/registry/checks.tf counts with: ${module.role.policy}"
  }

  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.input_error_share) : length(alarm.alarm_name) <= 255])
    error_message = "CloudWatch would refuse ${jsonencode([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])}."
  }
}

run "a_runtime_with_an_image_runs_from_it" {
  module {
    source = "./modules/model"
  }

  override_data {
    target = data.aws_lambda_function.published
    values = {
      version           = "7"
      architectures     = ["x86_64"]
      code_sha256       = "the image's digest"
      environment       = [{ variables = { GREETING = "hello", MODELYARD_MODEL = "{\"contract\":1}", MODELYARD_WEIGHTS = "/mnt/model", MODELYARD_RESULTS = "yard-results" } }]
      ephemeral_storage = [{ size = 512 }]
      image_uri         = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:1"
      layers            = []
      memory_size       = 1024
      timeout           = 60
      vpc_config        = [{ subnet_ids = ["subnet-1", "subnet-2"] }]
    }
  }

  variables {
    package = {
      lambda_runtime = "python3.13"
      image_uri      = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:1"
      s3_bucket      = "yard-artifacts"
      layers         = []
      publish_again  = false
    }
  }

  assert {
    condition = (
      aws_lambda_function.inference.package_type == "Image" &&
      aws_lambda_function.inference.image_uri == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard:1" &&
      aws_lambda_function.inference.handler == null && aws_lambda_function.inference.s3_key == null
    )
    error_message = "The function runs from ${aws_lambda_function.inference.package_type}."
  }
}

run "three_alarms_call_somebody_by_default" {
  command = plan

  module {
    source = "./modules/model"
  }

  assert {
    condition = { for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name => {
      of = "${alarm.namespace} ${alarm.metric_name} ${jsonencode(alarm.dimensions)}", is = "${alarm.statistic} in ${alarm.period} s ${alarm.comparison_operator} ${alarm.threshold}"
      } } == {
      "yard-digits/dead_letters" = { of = "AWS/SQS ApproximateNumberOfMessagesVisible {\"QueueName\":\"yard-digits-dlq\"}", is = "Maximum in 60 s GreaterThanOrEqualToThreshold 1" }
      "yard-digits/queue_age_s"  = { of = "AWS/SQS ApproximateAgeOfOldestMessage {\"QueueName\":\"yard-digits\"}", is = "Maximum in 60 s GreaterThanOrEqualToThreshold 1083" }
    }
    error_message = "The alarms are ${jsonencode(aws_cloudwatch_metric_alarm.this)}."
  }
  assert {
    condition = { for query in aws_cloudwatch_metric_alarm.input_error_share[0].metric_query : query.id => coalesce(
      query.expression, join(" ", [for metric in query.metric : "${metric.stat} of ${metric.namespace} ${metric.metric_name} ${jsonencode(metric.dimensions)} in ${metric.period} s"]),
      )
      } == {
      inputs          = "SampleCount of Modelyard InputErrors {\"Model\":\"digits\",\"Variant\":\"stable\"} in 3600 s"
      share           = "Average of Modelyard InputErrors {\"Model\":\"digits\",\"Variant\":\"stable\"} in 3600 s"
      share_of_enough = "IF(inputs >= 5, share, 0)"
    }
    error_message = "The share is computed by ${jsonencode(aws_cloudwatch_metric_alarm.input_error_share[0].metric_query)}."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.input_error_share[0].alarm_name == "yard-digits/input_error_share" &&
      aws_cloudwatch_metric_alarm.input_error_share[0].threshold == 0.5 &&
      aws_cloudwatch_metric_alarm.input_error_share[0].comparison_operator == "GreaterThanOrEqualToThreshold" &&
      [for query in aws_cloudwatch_metric_alarm.input_error_share[0].metric_query : query.id if query.return_data == true] == ["share_of_enough"]
    )
    error_message = "Half of the inputs refused must be enough, not ${aws_cloudwatch_metric_alarm.input_error_share[0].threshold}."
  }
  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.input_error_share) :
      alarm.alarm_actions == toset([var.alarm_topic_arn]) && length(alarm.ok_actions) == 0 &&
      alarm.treat_missing_data == "notBreaching" && alarm.tags == tomap({ team = "vision" })
    ])
    error_message = "An alarm must notify the topic when it fires, a new one must not notify it, and a quiet model is no alarm."
  }
}

run "the_topic_is_notified_of_alarms_that_clear_if_somebody_asks" {
  command = plan

  module {
    source = "./modules/model"
  }

  variables {
    notify_cleared_alarms = true
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.input_error_share) :
      alarm.ok_actions == toset([var.alarm_topic_arn])
    ])
    error_message = "An alarm that clears must notify the topic."
  }
}

run "every_alarm_is_by_its_threshold" {
  command = plan

  module {
    source = "./modules/model"
  }

  variables {
    # A given map replaces the whole model; what this run is about is its alarms.
    model = {
      description = ""
      digest      = "d1"
      names = {
        function          = "yard-digits"
        queue             = "yard-digits"
        dead_letter_queue = "yard-digits-dlq"
        metric_dimensions = { Model = "digits", Variant = "stable" }
      }
      files        = {}
      route        = { prefixes = ["digits/"], suffixes = [] }
      variables    = { MODELYARD_WEIGHTS = "/mnt/model" }
      check        = "{}"
      memory_mb    = 1024
      timeout_s    = 60
      ephemeral_mb = 512
      architecture = "x86_64"
      batch        = { size = 10, window_s = 1 }
      concurrency  = { maximum = 10 }
      alarms       = { dead_letters = null, queue_age_s = 60, errors = 5, throttles = 10, input_errors = 20 }
      tags         = {}
    }
  }

  assert {
    condition = { for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name => {
      of = "${alarm.namespace} ${alarm.metric_name} ${jsonencode(alarm.dimensions)}", is = "${alarm.statistic} in ${alarm.period} s ${alarm.comparison_operator} ${alarm.threshold}"
      } } == {
      "yard-digits/queue_age_s"  = { of = "AWS/SQS ApproximateAgeOfOldestMessage {\"QueueName\":\"yard-digits\"}", is = "Maximum in 60 s GreaterThanOrEqualToThreshold 60" }
      "yard-digits/errors"       = { of = "AWS/Lambda Errors {\"FunctionName\":\"yard-digits\"}", is = "Sum in 300 s GreaterThanOrEqualToThreshold 5" }
      "yard-digits/throttles"    = { of = "AWS/Lambda Throttles {\"FunctionName\":\"yard-digits\"}", is = "Sum in 300 s GreaterThanOrEqualToThreshold 10" }
      "yard-digits/input_errors" = { of = "Modelyard InputErrors {\"Model\":\"digits\",\"Variant\":\"stable\"}", is = "Sum in 300 s GreaterThanOrEqualToThreshold 20" }
    }
    error_message = "The alarms are ${jsonencode(aws_cloudwatch_metric_alarm.this)}."
  }
}
