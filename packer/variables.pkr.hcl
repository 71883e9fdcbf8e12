variable "disk" {
  type        = string
  description = "The disk to boot, qcow2; it is copied, never written to."
}

variable "disk_size" {
  type        = string
  description = "What the disk is grown to, as a cloud does; 4096M."
}

variable "seed" {
  type        = string
  description = "The NoCloud seed, an image of a FAT file system with the label CIDATA."
}

variable "output" {
  type        = string
  description = "The directory that Packer makes."
}

variable "serial_log" {
  type        = string
  description = "Where the machine's console goes."
}

variable "ssh_private_key_file" {
  type = string
}

variable "accelerator" {
  type        = string
  description = "QEMU's -accel."
}

variable "cpu" {
  type        = string
  description = "QEMU's -cpu."
}

variable "memory" {
  type    = number
  default = 1024
}

variable "firmware" {
  type        = list(string)
  default     = []
  description = "UEFI: further -drive arguments (if=pflash); BIOS without them."
}

variable "provision" {
  type        = list(string)
  default     = []
  description = "The user's own scripts, run as root in this order."
}

variable "check" {
  type        = string
  description = "A command of this machine that checks the booted one; HOST and PORT are in its environment."
}

variable "status" {
  type        = string
  description = "Where dpkg's list of what is installed goes, for the manifest."
}
