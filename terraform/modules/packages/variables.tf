variable "manifest_file" {
  description = "Path of the manifest. The packages are in the same folder."
  type        = string
  nullable    = false
}

variable "functions_dir" {
  description = "Folder of the sources that the packages must have been built from."
  type        = string
  nullable    = false
}

variable "local_stack" {
  description = "Whether the packages will run on the local stack."
  type        = bool
  nullable    = false
}

variable "region" {
  description = "Region of the deployment, which its images must be in."
  type        = string
  nullable    = false
}

variable "runtime_images" {
  description = "Container image by runtime, if it is not the one in the manifest."
  type        = map(string)
  nullable    = false
}

variable "models" {
  description = "What each model runs on."
  type = map(object({
    runtime      = string
    architecture = string
  }))
  nullable = false
}
