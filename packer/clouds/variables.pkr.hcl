variable "image" {
  type        = string
  description = "The exported image at the provider: an AMI's id, else its name."
}

variable "name" {
  type        = string
  description = "What the new image is called."
}

variable "region" {
  type        = string
  default     = ""
  description = "AWS and OpenStack: region; Azure: location; Google: zone."
}

variable "group" {
  type        = string
  default     = ""
  description = "Azure: resource group; Google: project."
}

variable "flavor" {
  type        = string
  default     = ""
  description = "OpenStack's."
}

variable "user" {
  type        = string
  default     = "debian"
  description = "Whom cloud-init gives Packer's key; may use sudo."
}

variable "provision" {
  type        = list(string)
  default     = []
  description = "Your own scripts, run as root in this order."
}

variable "as_root" {
  type    = string
  default = "chmod +x {{ .Path }} && sudo env {{ .Vars }} {{ .Path }}"
}
