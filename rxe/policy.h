/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * What a link does with user memory it is asked to register: the administrator's
 * choice, in /sys/class/infiniband/LINK/memory_policy.
 */
#ifndef URXE_POLICY_H
#define URXE_POLICY_H

#include <linux/sysfs.h>

/* For the device's directory in sysfs. */
extern const struct attribute_group urxe_policy_group;

#endif /* URXE_POLICY_H */
