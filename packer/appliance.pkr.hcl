# Boots the appliance's disk: the gate that every image passes, and the place for a user's own provisioning.
# Written for Packer 1.6.5 (Debian's) and later; `required_plugins` is unknown to 1.6, so plugins are not named here.
packer {
  required_version = ">= 1.6.5"
}

source "qemu" "appliance" {
  iso_url          = var.disk
  iso_checksum     = "none"
  disk_image       = true
  use_backing_file = false
  disk_size        = var.disk_size
  format           = "qcow2"
  output_directory = var.output
  vm_name          = "disk.qcow2"

  accelerator = "none"
  headless    = true
  disable_vnc = true
  boot_wait   = "-1s"
  memory      = var.memory
  cpus        = 2
  net_device  = "virtio-net"

  # An argument given here replaces all that Packer would pass of its kind.
  qemuargs = concat(
    [
      ["-machine", "type=q35"],
      ["-accel", var.accelerator],
      ["-cpu", var.cpu],
      ["-serial", "file:${var.serial_log}"],
      ["-device", "virtio-net,netdev=user.0"],
      ["-device", "virtio-rng-pci"],
    ],
    [for drive in var.firmware : ["-drive", drive]],
    [
      ["-drive", "file={{ .OutputDir }}/{{ .Name }},if=virtio,cache=unsafe,discard=unmap,format=qcow2"],
      ["-drive", "file=${var.seed},if=virtio,format=raw,readonly=on"],
    ],
  )

  communicator         = "ssh"
  ssh_username         = "root"
  ssh_private_key_file = var.ssh_private_key_file
  ssh_timeout          = "15m"
  shutdown_command     = "systemctl poweroff"
  shutdown_timeout     = "5m"
}

build {
  name    = "larva"
  sources = ["source.qemu.appliance"]

  provisioner "shell" {
    script = "${path.root}/scripts/await-boot.sh"
  }

  dynamic "provisioner" {
    for_each = length(var.provision) > 0 ? ["shell"] : []
    labels   = ["shell"]
    content {
      scripts = var.provision
    }
  }

  provisioner "shell" {
    script = "${path.root}/scripts/self-check.sh"
  }

  provisioner "shell-local" {
    environment_vars = ["HOST=${build.Host}", "PORT=${build.Port}"]
    inline           = [var.check]
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/lib/dpkg/status"
    destination = var.status
  }

  provisioner "shell" {
    script = "${path.root}/scripts/seal.sh"
  }
}
