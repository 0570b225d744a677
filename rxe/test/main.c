// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * urxe_test: the driver as kernel consumers use it. Loading the module runs the
 * cases on the link it is told, and prints `ok` or `not ok` for each. Never
 * installed.
 */
#define pr_fmt(fmt) "urxe_test: " fmt

#include <linux/module.h>

#include "cases.h"

static char *device;
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "name of the RDMA device");

static int gid;
module_param(gid, int, 0444);
MODULE_PARM_DESC(gid, "index of the GID that the ends talk by");

static void run_case(struct link *link, const struct test_case *c)
{
	struct end *ends = kcalloc(2, sizeof(*ends), GFP_KERNEL);
	bool failed = false;
	int err = -ENOMEM;

	if (ends)
		err = ends_open(link, &ends[0], &ends[1],
				c->uc ? IB_QPT_UC : IB_QPT_RC, c->srq);
	if (err) {
		pr_info("# %s: no ends: %d\n", c->name, err);
		failed = true;
	} else {
		c->run(&ends[0], &ends[1], &failed);
		ends_close(&ends[0], &ends[1]);
	}
	kfree(ends);
	pr_info("%sok %s\n", failed ? "not " : "", c->name);
}

static int add(struct ib_device *ibdev)
{
	struct link link = { .ibdev = ibdev, .gid_index = gid };
	const struct test_case *c;

	if (!device || strcmp(dev_name(&ibdev->dev), device))
		return -EOPNOTSUPP;
	for (c = test_cases; c->name; c++)
		run_case(&link, c);
	return 0;
}

static void remove(struct ib_device *ibdev, void *client_data)
{
}

static struct ib_client client = {
	.name	= "urxe_test",
	.add	= add,
	.remove	= remove,
};

static int __init urxe_test_init(void)
{
	return ib_register_client(&client);
}

static void __exit urxe_test_exit(void)
{
	ib_unregister_client(&client);
}

module_init(urxe_test_init);
module_exit(urxe_test_exit);

MODULE_DESCRIPTION("Tests of kernel consumers of urxe");
MODULE_LICENSE("Dual BSD/GPL");
