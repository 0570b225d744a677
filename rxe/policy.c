// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * The memory policy of a link.
 *
 * RDMA netlink has no command for a driver's own settings, so this is one of the
 * few attributes in the device's directory. It counts for regions registered from
 * now on; those there stay as they are.
 */
#include <linux/device.h>

#include "policy.h"
#include "urxe.h"

static const char * const names[] = {
	[URXE_UNPINNED]	= "unpinned",
	[URXE_PINNED]	= "pinned",
};

static ssize_t memory_policy_show(struct device *device,
				  struct device_attribute *attr, char *buf)
{
	struct urxe_dev *dev =
		rdma_device_to_drv_device(device, struct urxe_dev, ibdev);

	return sysfs_emit(buf, "%s\n", names[READ_ONCE(dev->policy)]);
}

static ssize_t memory_policy_store(struct device *device,
				   struct device_attribute *attr,
				   const char *buf, size_t len)
{
	struct urxe_dev *dev =
		rdma_device_to_drv_device(device, struct urxe_dev, ibdev);
	int policy = sysfs_match_string(names, buf);

	if (policy < 0)
		return policy;
	WRITE_ONCE(dev->policy, policy);
	return len;
}

static DEVICE_ATTR_RW(memory_policy);

static struct attribute *attrs[] = {
	&dev_attr_memory_policy.attr,
	NULL
};

const struct attribute_group urxe_policy_group = {
	.attrs = attrs,
};
