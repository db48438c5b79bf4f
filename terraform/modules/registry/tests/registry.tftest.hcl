# What other modules rely on. Every single problem with its message: tests/registries, with tests/unit/test_registry.py.

run "gives_the_normal_form" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/everything.yaml"
  }

  assert {
    condition     = length(output.problems) == 0
    error_message = "A valid registry must have no problems."
  }

  assert {
    condition = (
      output.models["digits"].route.prefixes == tolist(["digits/", "scans/digits/"])
      && output.models["digits"].route.suffixes == tolist([".png", ".json"])
      && output.models["digits"].concurrency.maximum == 2
      && output.models["digits"].concurrency.reserved == 890
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).input.size == [8, 8]
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).input.scale == 0.0625
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).input.columns == ["a", "b c"]
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).input.header == true
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).input.missing == true
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).output.threshold == 0.5
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).limits.bytes == 134217728
    )
    error_message = "A model's own values must come out as they are."
  }

  assert {
    condition = (
      output.models["inherits"].memory_mb == 512
      && [for name in ["LOG_LEVEL", "REGION"] : output.models["inherits"].variables[name]] == ["INFO", "north"]
      && [for name in ["LOG_LEVEL", "REGION"] : output.models["digits"].variables[name]] == ["DEBUG", "north"]
      && jsondecode(output.models["digits"].variables.MODELYARD_MODEL).limits.records == 100
      && !can(jsondecode(output.models["digits"].variables.MODELYARD_MODEL).limits.decompressed_bytes)
    )
    error_message = "The registry's defaults must be merged key by key, and a null of the model's own takes one away."
  }
}

run "gives_all_models_one_type" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/defaults.yaml"
  }

  assert {
    condition     = { for name, model in tomap(output.models) : name => model.memory_mb } == { merged = 3008, other-runtime = 1024, onnx = 1024, own-memory = 4096, taken-away = 3008 }
    error_message = "Models with and without optional fields must have the same type, and tensorflow its own default of memory."
  }

  assert {
    condition = alltrue([for model in output.models : model.digest == sha256(join("", [
      for path, file in model.files : "${filesha256(file.source)}  ${path}\n"
    ]))])
    error_message = "The digest must be that of the lines of sha256 and path, and every source must be readable."
  }
}

run "refuses_once_with_all_problems" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/invalid/schema/unknown_fields.yaml"
  }

  expect_failures = [output.models]

  assert {
    condition = contains(
      [for problem in output.problems : "${problem.path}: ${problem.message}"],
      "models.resnet.batch: unknown field \"zzz\" (known: rows, size, window_s)",
    ) && length(output.problems) > 10
    error_message = "All problems must be collected, each with its path and the way out."
  }
}

run "refuses_models_that_are_named_twice" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/invalid/rules/duplicates.yaml"
  }

  expect_failures = [output.models]

  assert {
    condition     = { for problem in output.problems : problem.path => problem.times } == { "defaults.retries" = 2, "models.digits" = 3, "models.letters.timeout_s" = 2, version = 2 }
    error_message = "A plan must find names of models, keys of the file and fields that are given twice in block style: ${jsonencode(output.problems)}."
  }
}

run "refuses_a_second_block_of_models" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/invalid/rules/two_model_blocks.yaml"
  }

  expect_failures = [output.models]

  assert {
    condition     = [for problem in output.problems : problem.path] == ["models"]
    error_message = "The models of the first block would be destroyed."
  }
}

run "takes_models_on_one_line" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/flow_style.yaml"
  }

  assert {
    condition     = keys(output.models) == tolist(["digits"])
    error_message = "Flow style is YAML as well."
  }
}

run "refuses_a_registry_that_is_not_there" {
  command = plan

  variables {
    registry_file = "none.yaml"
  }

  expect_failures = [output.models]

  assert {
    condition     = output.problems[0].message == "does not exist; give the path of the model registry"
    error_message = "A wrong path must not look like an empty registry, which would destroy every model."
  }
}

run "refuses_names_that_lambda_would_refuse" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/minimal.yaml"
    name_prefix   = "a-name-of-sixty-characters-that-leaves-no-room-for-the-models"
  }

  expect_failures = [output.models]

  assert {
    condition     = output.problems[0].path == "models.digits"
    error_message = "A function's name beyond 64 characters must be refused, and the model named."
  }
}

# Its models have 512 MB at most, and reserve 890 and 10 executions.
run "fits_into_an_account_that_has_just_enough" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/everything.yaml"
    quotas        = { concurrency = 1000, memory_mb = 512 }
  }

  assert {
    condition     = keys(output.models) == tolist(["digits", "inherits"]) && length(output.quota_warnings) == 0
    error_message = "Just enough is enough: ${jsonencode(output.quota_warnings)}"
  }
}

run "refuses_what_an_account_does_not_allow" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/everything.yaml"
    quotas        = { concurrency = 999, memory_mb = 511 }
  }

  expect_failures = [output.models]

  assert {
    condition = { for problem in output.quota_problems : problem.path => problem.message } == {
      "models.inherits.memory_mb" = "must be at most 511, the memory that Lambda allows a function in this account, not 512; lower it, or ask AWS Support for more"
      models                      = "reserve 900 executions in total (digits 890, inherits 10), but the account has 999, and 100 must stay unreserved; lower concurrency.reserved or leave it out, or request more (Service Quotas: AWS Lambda, Concurrent executions, L-B99A9384)"
    }
    error_message = "Each must be named with the way out: ${jsonencode(output.quota_problems)}"
  }
}

run "refuses_every_reservation_in_an_account_that_has_no_more_than_must_stay_unreserved" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/everything.yaml"
    quotas        = { concurrency = 10 }
  }

  expect_failures = [output.models]

  assert {
    condition     = [for problem in output.quota_problems : problem.path] == ["models"]
    error_message = "Lambda refuses any reservation: ${jsonencode(output.quota_problems)}"
  }
}

# Its models have 1024, 3008 and 4096 MB, and ask for ten executions each.
run "warns_of_what_is_likely_in_a_new_account" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/defaults.yaml"
    quotas        = { concurrency = 49 }
  }

  assert {
    condition = output.quota_warnings == [
      "This account has 49 concurrent executions, like a new account. Its functions can probably have at most 3008 MB of memory; Lambda would then refuse models.own-memory.memory_mb (4096). Lower it, or ask AWS Support for more; set quotas.memory_mb to what is allowed.",
      "The queues may need 50 executions at once (merged 10, onnx 10, other-runtime 10, own-memory 10, taken-away 10), but this account has 49. Calls beyond that are throttled, which uses up the retries of their inputs. Lower concurrency.maximum, or request more (Service Quotas: AWS Lambda, Concurrent executions, L-B99A9384).",
    ]
    error_message = "The warnings are ${jsonencode(output.quota_warnings)}"
  }
}

run "warns_of_nothing_that_is_known_to_be_enough" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/defaults.yaml"
    quotas        = { concurrency = 50, memory_mb = 4096 }
  }

  assert {
    condition     = length(output.quota_warnings) == 0
    error_message = "The warnings are ${jsonencode(output.quota_warnings)}"
  }
}

run "says_that_quotas_are_assumed" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/defaults.yaml"
  }

  assert {
    condition = output.quota_warnings == [
      "Lambda's quotas for this account are not known, so AWS's defaults are assumed: 1000 concurrent executions and 10240 MB per function. New accounts have less. Set quotas.concurrency to what `aws lambda get-account-settings` shows.",
    ]
    error_message = "The warnings are ${jsonencode(output.quota_warnings)}"
  }
}

# Seven models with 101 prefix-suffix pairs.
run "what_a_notification_cannot_hold_is_refused_with_the_way_out" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/notifications.yaml"
  }

  expect_failures = [output.models]

  assert {
    condition = output.quota_problems == [{
      path    = "models"
      message = "need 101 notifications of the inputs bucket, one for each prefix with each suffix, but S3 allows 100 per bucket. Use fewer suffixes or prefixes. Or let EventBridge announce uploads: apply event_way = \"both\" with a registry that still fits; ten minutes later, apply event_way = \"eventbridge\" with this one. A new deployment can use event_way = \"eventbridge\" at once. Or spread the models over several deployments, each with its own `name`, registry and state"
    }]
    error_message = "The problems are ${jsonencode(output.quota_problems)}"
  }
}

run "both_ways_have_the_limits_of_both" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/notifications.yaml"
    event_way     = "both"
    quotas        = { rules = 6 }
  }

  expect_failures = [output.models]

  assert {
    condition     = [for problem in output.quota_problems : regex("^need [0-9]+ (?:EventBridge )?[a-z]+", problem.message)] == ["need 101 notifications", "need 7 EventBridge rules"]
    error_message = "The problems are ${jsonencode(output.quota_problems)}"
  }
}

run "eventbridge_takes_any_number_of_suffixes" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/notifications.yaml"
    event_way     = "eventbridge"
    quotas        = { concurrency = 1000, rules = 7 }
  }

  assert {
    condition     = length(output.quota_problems) == 0 && length(output.quota_warnings) == 0
    error_message = "The problems are ${jsonencode(output.quota_problems)}, the warnings ${jsonencode(output.quota_warnings)}"
  }
}

run "more_rules_than_the_account_may_have_are_refused_with_the_way_out" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/notifications.yaml"
    event_way     = "eventbridge"
    quotas        = { rules = 6 }
  }

  expect_failures = [output.models]

  assert {
    condition = output.quota_problems == [{
      path    = "models"
      message = "need 7 EventBridge rules, one per model, but this account may have 6 per event bus, including other rules. Request more (Service Quotas: Amazon EventBridge, Number of rules, L-244521F2), or spread the models over several deployments, each with its own `name`, registry and state, in other regions or accounts"
    }]
    error_message = "The problems are ${jsonencode(output.quota_problems)}"
  }
}

run "a_pattern_that_eventbridge_does_not_take_is_refused" {
  command = plan

  variables {
    registry_file = "../../../tests/registries/valid/long_prefixes.yaml"
    event_way     = "eventbridge"
  }

  expect_failures = [output.models]

  assert {
    condition = output.quota_problems == [{
      path    = "models.long.route.prefixes"
      message = "make the pattern of the model's EventBridge rule 2339 characters long, but EventBridge allows 2048; use fewer or shorter prefixes"
    }]
    error_message = "The problems are ${jsonencode(output.quota_problems)}"
  }
}
